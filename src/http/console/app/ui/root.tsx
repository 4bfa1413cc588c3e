/** Who is there decides what is shown: the door, or the console. */
import { useEffect, useState } from "preact/hooks";
import { useApp, useTexts } from "../core/app.ts";
import { useStore } from "../core/store.ts";
import { Login } from "../pages/login.tsx";
import { Logo } from "./icons.tsx";
import { Shell } from "./shell.tsx";
import { Toaster } from "./toaster.tsx";

export function Root({ setupToken }: { readonly setupToken: string | undefined }) {
  const { api, live } = useApp();
  const t = useTexts();
  const session = useStore(api.session);
  const [token, setToken] = useState(setupToken);
  useEffect(() => {
    if (session) {
      live.start();
      // It works once.
      setToken(undefined);
    } else live.stop();
  }, [session?.user]);
  return (
    <>
      {session === undefined
        ? (
          <div class="door" aria-busy="true">
            <span class="brand">
              <Logo /> solovs <span class="quiet">{t("Loading…")}</span>
            </span>
          </div>
        )
        : session === null
        ? <Login setupToken={token} />
        : <Shell session={session} />}
      <Toaster />
    </>
  );
}
