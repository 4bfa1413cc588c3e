/** The door: log in, or make the first user by the link from the log. */
import { useState } from "preact/hooks";
import { Refused, type Session } from "../core/api.ts";
import { useApp, useTexts } from "../core/app.ts";
import { Text } from "../ui/form.tsx";
import { Logo } from "../ui/icons.tsx";
import { Note } from "../ui/parts.tsx";
import { LanguageChoice } from "../ui/preferences.tsx";

export function Login({ setupToken }: { readonly setupToken: string | undefined }) {
  const { api, router } = useApp();
  const t = useTexts();
  const [token, setToken] = useState(setupToken);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [wrong, setWrong] = useState<string>();
  const [busy, setBusy] = useState(false);
  const first = token !== undefined;
  const differs = first && again !== "" && again !== password;

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy || differs) return;
    setBusy(true);
    setWrong(undefined);
    try {
      const body = first ? { token, name, password } : { name, password };
      const session = await api.ask<Session>("POST", first ? "/setup" : "/login", { body });
      if (first) router.go(["overview"]);
      api.session.set(session);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setWrong(error.message);
    } finally {
      setBusy(false);
    }
  };

  return (
    <div class="door">
      <form class="stack" onSubmit={submit}>
        <div class="row">
          <span class="brand">
            <Logo /> solovs
          </span>
          <span class="push">
            <LanguageChoice />
          </span>
        </div>
        <h1>{first ? t("Make the first user") : t("Log in")}</h1>
        <p class="quiet">
          {first
            ? t(
              "This becomes an administrator of the switch. The link that brought you here works once.",
            )
            : t("The switch's users are its own, not those of the system.")}
        </p>
        <Text
          name={t("Name")}
          value={name}
          onChange={setName}
          autocomplete="username"
          required
          maxLength={32}
          autofocus
        />
        <Text
          name={t("Password")}
          value={password}
          onChange={setPassword}
          type="password"
          required
          autocomplete={first ? "new-password" : "current-password"}
          {...(first && { hint: t("At least 10 characters.") })}
        />
        {first && (
          <Text
            name={t("Password, once more")}
            value={again}
            onChange={setAgain}
            type="password"
            required
            autocomplete="new-password"
            wrong={differs ? t("This is another one than above.") : undefined}
          />
        )}
        {wrong !== undefined && <Note tone="bad">{wrong}</Note>}
        <button type="submit" class="primary" disabled={busy || differs}>
          {busy ? t("Working…") : first ? t("Make the user and log in") : t("Log in")}
        </button>
        {first && (
          <button type="button" class="plain" onClick={() => setToken(undefined)}>
            {t("There is a user already: log in")}
          </button>
        )}
      </form>
    </div>
  );
}
