/** The frame of all pages: navigation, what needs attention everywhere, the user's menu. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Session } from "../core/api.ts";
import { useApp, useMay, useTexts } from "../core/app.ts";
import { placeText } from "../core/router.ts";
import { useStore } from "../core/store.ts";
import { ConfirmBanner } from "./confirm-banner.tsx";
import { Icon, Logo } from "./icons.tsx";
import { type Page, PAGES } from "./pages.tsx";
import { Dot, Empty, Menu } from "./parts.tsx";
import { LanguageChoice, ThemeChoice } from "./preferences.tsx";

export function Shell({ session }: { readonly session: Session }) {
  const { router, live } = useApp();
  const t = useTexts();
  const { path: [name, ...rest], query } = useStore(router.place);
  const connected = useStore(live.connected);
  const reading = useStore(live.reading);
  const [open, setOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  const page = PAGES.find((each) => each.name === name);
  const title = page ? t(page.title) : t("Nothing here");
  useEffect(() => {
    document.title = `${title} · solovs`;
    setOpen(false);
  }, [title]);
  useEffect(() => {
    const escape = (event: KeyboardEvent): void => {
      if (event.key === "Escape") setOpen(false);
    };
    addEventListener("keydown", escape);
    return () => removeEventListener("keydown", escape);
  }, []);
  return (
    <div class="shell">
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        {t("To the content")}
      </a>
      <nav class={`side ${open ? "open" : ""}`} aria-label={t("Pages")}>
        <a class="brand" href="#/overview">
          <Logo /> solovs
        </a>
        <Navigation current={name} />
      </nav>
      <div class="veil" onClick={() => setOpen(false)} />
      <div class="main-column">
        <header class="bar">
          <button
            type="button"
            class="icon plain menu-button"
            aria-label={t("Pages")}
            aria-expanded={open}
            onClick={() => setOpen(!open)}
          >
            <Icon name="menu" />
          </button>
          <h1>{title}</h1>
          <span class="push" />
          <span class="row tight quiet wide-only" role="status">
            <Dot tone={connected ? "good" : "bad"} />
            {connected ? t("live") : reading ? t("connection lost") : t("connecting…")}
          </span>
          <Menu label={t("Language and colours")} button={<Icon name="sun" />}>
            <li class="caption">{t("Colours")}</li>
            <li>
              <ThemeChoice />
            </li>
            <li class="caption">{t("Language")}</li>
            <li>
              <LanguageChoice />
            </li>
          </Menu>
          <UserMenu session={session} />
        </header>
        {!connected && reading && (
          <div class="banner offline" role="alert">
            {t("The switch does not answer. What is shown is from before; it is tried again.")}
          </div>
        )}
        <ConfirmBanner />
        <main id="main" tabIndex={-1} ref={main}>
          <div class="page">
            <Content page={page} rest={rest} query={query} />
          </div>
        </main>
      </div>
    </div>
  );
}

function Content({ page, ...props }: {
  readonly page: Page | undefined;
  readonly rest: readonly string[];
  readonly query: Readonly<Record<string, string>>;
}) {
  const t = useTexts();
  const may = useMay(page?.needs ?? "reader");
  if (page === undefined || !may) {
    return (
      <Empty icon="search" title={t("Nothing here")}>
        <p>{may ? t("There is no such page.") : t("This page needs another role than yours.")}</p>
        <a class="button" href="#/overview">{t("To the overview")}</a>
      </Empty>
    );
  }
  const Draw = page.draw;
  return <Draw key={page.name} {...props} />;
}

function Navigation({ current }: { readonly current: string }) {
  const t = useTexts();
  const may = { reader: true, operator: useMay("operator"), admin: useMay("admin") };
  const shown = PAGES.filter(({ needs = "reader" }) => may[needs]);
  const groups = [...new Set(shown.map(({ group }) => group))];
  return (
    <>
      {groups.map((group) => (
        <>
          <h3>{t(group)}</h3>
          {shown.filter((page) => page.group === group).map((page) => (
            <a
              key={page.name}
              class="item"
              href={placeText([page.name])}
              aria-current={page.name === current ? "page" : undefined}
            >
              <Icon name={page.icon} /> {t(page.title)}
            </a>
          ))}
        </>
      ))}
    </>
  );
}

function UserMenu({ session }: { readonly session: Session }) {
  const { api } = useApp();
  const t = useTexts();
  const logout = async (): Promise<void> => {
    await api.ask("POST", "/logout").catch(() => undefined);
    api.session.set(null);
  };
  return (
    <Menu
      label={t("Your account")}
      button={
        <>
          <Icon name="person" /> <span class="wide-only">{session.user}</span>
        </>
      }
    >
      <li class="caption">{session.user} · {t(session.role)}</li>
      <li>
        <a class="button" href="#/users">{t("Password and tokens")}</a>
      </li>
      <li>
        <button type="button" onClick={() => void logout()}>{t("Log out")}</button>
      </li>
    </Menu>
  );
}
