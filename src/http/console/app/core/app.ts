/** What every part of the page uses, made once in main.tsx and handed down. */
import { createContext } from "preact";
import { useCallback, useContext, useEffect, useRef, useState } from "preact/hooks";
import { type Api, Refused, type Role } from "./api.ts";
import type { Live } from "./live.ts";
import type { Router } from "./router.ts";
import type { Settings } from "./settings.ts";
import { useStore } from "./store.ts";
import type { Toasts } from "./toasts.ts";
import type { Translate } from "./translate.ts";

export interface App {
  readonly api: Api;
  readonly live: Live;
  readonly router: Router;
  readonly settings: Settings;
  readonly toasts: Toasts;
}

export const AppContext = createContext<App | undefined>(undefined);

export function useApp(): App {
  const app = useContext(AppContext);
  if (app === undefined) throw new Error("outside of the app");
  return app;
}

/** Texts in the language chosen. */
export function useTexts(): Translate {
  return useStore(useApp().settings.translate);
}

const RANK: readonly Role[] = ["reader", "operator", "admin"];

/** Whether who is logged in may do what needs this role. */
export function useMay(role: Role): boolean {
  const session = useStore(useApp().api.session);
  return session ? RANK.indexOf(session.role) >= RANK.indexOf(role) : false;
}

export interface Query<T> {
  /** The last answer; kept while a new one is on its way. */
  readonly data: T | undefined;
  readonly error: Refused | undefined;
  readonly reload: () => void;
}

export interface QueryOptions {
  /** Read anew when the database changes. */
  readonly live?: boolean;
  /** And every so many milliseconds, while the page is seen. */
  readonly everyMs?: number;
}

/** Reads a path; undefined: nothing. */
export function useQuery<T>(path: string | undefined, options: QueryOptions = {}): Query<T> {
  const { api, live } = useApp();
  const [state, setState] = useState<{ path: string | undefined; data?: T; error?: Refused }>({
    path,
  });
  const [round, setRound] = useState(0);
  const transaction = useStore(live.transaction);
  const reload = useCallback(() => setRound((count) => count + 1), []);
  const busy = useRef(false);
  const again = options.live === true ? transaction : "";
  useEffect(() => {
    if (path === undefined) return;
    const stop = new AbortController();
    busy.current = true;
    api.get<T>(path, stop.signal).then(
      (data) => setState({ path, data }),
      (error) => {
        if (stop.signal.aborted) return;
        if (!(error instanceof Refused)) throw error;
        setState((old) => ({ ...(old.path === path ? old : {}), path, error }));
      },
    ).finally(() => busy.current = false);
    return () => stop.abort();
  }, [path, round, again]);
  const { everyMs } = options;
  useEffect(() => {
    if (everyMs === undefined) return;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible" && !busy.current) reload();
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  const current = state.path === path ? state : undefined;
  return { data: current?.data, error: current?.error, reload };
}

/** Runs what the user asked for: one at a time, failures as a message. */
export function useAction(): {
  readonly busy: boolean;
  readonly run: (
    work: () => Promise<void>,
    quiet?: (error: Refused) => boolean,
  ) => Promise<boolean>;
} {
  const { toasts } = useApp();
  const [busy, setBusy] = useState(false);
  const run = async (
    work: () => Promise<void>,
    quiet: (error: Refused) => boolean = () => false,
  ): Promise<boolean> => {
    if (busy) return false;
    setBusy(true);
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (!quiet(error)) toasts.bad(error.message);
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, run };
}

/** The page is narrow, as on a phone. */
export function useNarrow(): boolean {
  const [query] = useState(() => matchMedia("(max-width: 700px)"));
  const [narrow, setNarrow] = useState(query.matches);
  useEffect(() => {
    const changed = (): void => setNarrow(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, []);
  return narrow;
}
