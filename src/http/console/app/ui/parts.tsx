/** Small parts that pages are put together from. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useTexts } from "../core/app.ts";
import type { Refused } from "../core/api.ts";
import { Icon, type IconName } from "./icons.tsx";

export interface CardProps {
  readonly title?: ComponentChildren;
  readonly actions?: ComponentChildren;
  readonly padded?: boolean;
  readonly children?: ComponentChildren;
}

export function Card({ title, actions, padded = false, children }: CardProps) {
  return (
    <section class="card">
      {(title !== undefined || actions !== undefined) && (
        <header>
          {typeof title === "string" ? <h2>{title}</h2> : title}
          {actions !== undefined && <div class="row push">{actions}</div>}
        </header>
      )}
      {padded ? <div class="body">{children}</div> : children}
    </section>
  );
}

export type Tone = "good" | "bad" | "warn" | "accent";

export function Badge(
  { tone, children }: { readonly tone?: Tone | undefined; readonly children: ComponentChildren },
) {
  return <span class={`badge ${tone ?? ""}`}>{children}</span>;
}

export const Dot = ({ tone }: { readonly tone?: Tone | undefined }) => (
  <span class={`dot ${tone ?? ""}`} aria-hidden="true" />
);

export function Note(
  { tone, children, action }: {
    readonly tone?: "bad" | "warn" | undefined;
    readonly children: ComponentChildren;
    readonly action?: ComponentChildren;
  },
) {
  return (
    <div class={`note ${tone ?? ""}`} role={tone === "bad" ? "alert" : undefined}>
      <Icon name={tone === undefined ? "about" : "warning"} />
      <div>{children}</div>
      {action !== undefined && <div class="push">{action}</div>}
    </div>
  );
}

export function Empty(
  { icon, title, children }: {
    readonly icon: IconName;
    readonly title: string;
    readonly children?: ComponentChildren;
  },
) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** What stands where an answer is not there yet, or never will be. */
export function Waiting({ error, retry }: { error: Refused | undefined; retry?: () => void }) {
  const t = useTexts();
  if (error === undefined) return <p class="quiet empty">{t("Loading…")}</p>;
  const again = retry && <button type="button" onClick={retry}>{t("Try again")}</button>;
  return <Note tone="bad" action={again}>{error.message}</Note>;
}

export function Choice<T extends string>(
  { label, value, choices, onChange }: {
    readonly label: string;
    readonly value: T;
    readonly choices: readonly (readonly [T, string])[];
    readonly onChange: (value: T) => void;
  },
) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {choices.map(([each, text]) => (
        <button
          type="button"
          key={each}
          aria-pressed={each === value}
          onClick={() => onChange(each)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

/** A button that opens a list of others. */
export function Menu(
  { label, button, children }: {
    readonly label: string;
    readonly button: ComponentChildren;
    readonly children: ComponentChildren;
  },
) {
  const [open, setOpen] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    const away = (event: Event): void => {
      if (!place.current?.contains(event.target as Node)) setOpen(false);
    };
    const escape = (event: KeyboardEvent): void => {
      if (event.key === "Escape") setOpen(false);
    };
    document.addEventListener("pointerdown", away);
    document.addEventListener("keydown", escape);
    return () => {
      document.removeEventListener("pointerdown", away);
      document.removeEventListener("keydown", escape);
    };
  }, [open]);
  return (
    <div class="menu" ref={place}>
      <button
        type="button"
        class="plain"
        aria-label={label}
        title={label}
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      >
        {button}
      </button>
      {open && <ul onClick={() => setOpen(false)}>{children}</ul>}
    </div>
  );
}

/** A small line of the last readings. */
export function Spark(
  { values, out = false }: { readonly values: readonly number[]; readonly out?: boolean },
) {
  const most = Math.max(1, ...values);
  const step = 100 / Math.max(1, values.length - 1);
  const points = values.map((value, i) =>
    `${(i * step).toFixed(2)},${(29 - 27 * value / most).toFixed(2)}`
  );
  if (points.length < 2) return <svg class="spark" aria-hidden="true" />;
  const line = `M${points.join("L")}`;
  return (
    <svg
      class={`spark ${out ? "out" : ""}`}
      viewBox="0 0 100 30"
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <path class="area" d={`${line}L100,30L0,30Z`} />
      <path class="line" d={line} />
    </svg>
  );
}

/** The part of the whole that something takes, as a bar. */
export const Load = ({ part }: { readonly part: number }) => (
  <span class="load" aria-hidden="true">
    <i style={{ width: `${Math.min(100, Math.max(0, part * 100)).toFixed(1)}%` }} />
  </span>
);

export function Copy({ text }: { readonly text: string }) {
  const t = useTexts();
  const [done, setDone] = useState(false);
  const copy = (): void => {
    // Browsers keep the clipboard from pages that came without TLS from another host.
    void navigator.clipboard?.writeText(text).then(() => {
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    });
  };
  if (navigator.clipboard === undefined) return null;
  return (
    <button type="button" class="icon small plain" title={t("Copy")} onClick={copy}>
      <Icon name={done ? "good" : "copy"} />
      <span class="hidden-text">{t("Copy")}</span>
    </button>
  );
}
