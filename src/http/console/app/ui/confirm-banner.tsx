/** Changes that wait for confirmation, with the time that is left: on every page, until decided. */
import { useEffect, useState } from "preact/hooks";
import type { ConfirmJson } from "../../../routes/history.ts";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { clock } from "../core/format.ts";

export function ConfirmBanner() {
  const { api, toasts, live } = useApp();
  const t = useTexts();
  const may = useMay("operator");
  const { data, error, reload } = useQuery<ConfirmJson>("/confirm", { live: true, everyMs: 5000 });
  const [now, setNow] = useState(Date.now());
  const [seen, setSeen] = useState<{ data: ConfirmJson | undefined; at: number }>();
  const { busy, run } = useAction();
  const pending = data?.pending === true && error === undefined;
  useEffect(() => setSeen({ data, at: Date.now() }), [data]);
  useEffect(() => {
    const early = (): void => reload();
    addEventListener("solovs-confirm", early);
    return () => removeEventListener("solovs-confirm", early);
  }, []);
  useEffect(() => {
    if (!pending) return;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [pending]);
  const remaining = pending && seen?.data === data
    ? Math.max(0, (data?.remaining_ms ?? 0) - Math.max(0, now - seen.at))
    : data?.remaining_ms ?? 0;
  const over = pending && remaining === 0;
  useEffect(() => {
    if (!over) return;
    const timer = setTimeout(reload, 700);
    return () => clearTimeout(timer);
  }, [over, live.reading.value]);
  if (!pending) return null;
  const decide = (method: string, path: string, said: string): void =>
    void run(async () => {
      await api.ask(method, path);
      toasts.good(said);
      reload();
    });
  return (
    <div class="banner" role="alert">
      <span class="countdown">{clock(remaining)}</span>
      <span>
        {t("Changes since revision {base} go back by themselves unless you keep them.", {
          base: data?.base ?? 0,
        })}
      </span>
      {may && (
        <span class="row push">
          <button
            type="button"
            class="primary"
            disabled={busy}
            onClick={() => decide("POST", "/confirm/keep", t("The changes stay."))}
          >
            {t("Keep changes")}
          </button>
          <button
            type="button"
            disabled={busy}
            onClick={() => decide("DELETE", "/confirm", t("The changes were taken back."))}
          >
            {t("Take back now")}
          </button>
        </span>
      )}
    </div>
  );
}
