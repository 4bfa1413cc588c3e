/** Why packets are dropped: each reason that was met, with how often, and how often now. */
import { useRef } from "preact/hooks";
import { useQuery, useTexts } from "../core/app.ts";
import { count, short } from "../core/format.ts";
import { Card } from "../ui/parts.tsx";

interface Counters {
  readonly counters: Readonly<Record<string, number>>;
}

const EVERY_MS = 4000;
const MOST = 8;

/** `dp_drop_tx_port_down` → `tx port down`. */
const reasonOf = (name: string): string => name.replace("dp_drop_", "").replaceAll("_", " ");

export function DropReasons() {
  const t = useTexts();
  const { data } = useQuery<Counters>("/counters", { everyMs: EVERY_MS });
  /** The reading that is shown, and the one before. */
  const seen = useRef<{ now?: Counters; before?: Counters }>({});
  if (data !== undefined && data !== seen.current.now) {
    seen.current = seen.current.now === undefined
      ? { now: data }
      : { now: data, before: seen.current.now };
  }
  const { before } = seen.current;
  const reasons = Object.entries(data?.counters ?? {})
    .filter(([name, value]) => name.startsWith("dp_drop_") && value > 0)
    .map(([name, value]) => ({ name, value, since: value - (before?.counters[name] ?? value) }))
    .sort((a, b) => b.since - a.since || b.value - a.value);
  return (
    <Card title={t("Why packets are dropped")}>
      {reasons.length === 0 ? <p class="quiet empty">{t("None was dropped so far.")}</p> : (
        <table>
          <thead>
            <tr>
              <th>{t("Reason")}</th>
              <th class="number">{t("Packets")}</th>
              <th class="number">{t("Rate")}</th>
            </tr>
          </thead>
          <tbody>
            {reasons.slice(0, MOST).map(({ name, value, since }) => (
              <tr key={name}>
                <td title={name}>{reasonOf(name)}</td>
                <td class="number">{count(value)}</td>
                <td class="number">
                  {since > 0 ? `${short(Math.round(since / (EVERY_MS / 1000)))} /s` : "–"}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
}
