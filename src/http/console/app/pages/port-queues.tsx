/** The queues of a port: what each may and what it has sent. */
import type { PortQueues as Queues } from "../../../routes/queues.ts";
import { part } from "../core/api.ts";
import { useQuery, useTexts } from "../core/app.ts";
import { bitRate, bytes, count } from "../core/format.ts";
import { Badge } from "../ui/parts.tsx";

export function PortQueues({ bridge, port }: { readonly bridge: string; readonly port: string }) {
  const t = useTexts();
  const path = `/bridges/${part(bridge)}/ports/${part(port)}/queues`;
  const { data, error } = useQuery<Queues>(path, { everyMs: 2500 });
  const rate = (bps: number | undefined) => (bps === undefined ? "–" : bitRate(bps));
  if (error !== undefined) return <p class="bad">{error.message}</p>;
  if (data === undefined) return null;
  return (
    <section class="stack">
      <h3 class="row tight">
        {t("Queues")} <Badge>{data.type ?? t("not in force")}</Badge>
        {data.settings["max-rate"] !== undefined && (
          <span class="quiet">{t("up to {rate}", { rate: rate(data.settings["max-rate"]) })}</span>
        )}
      </h3>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>{t("Queue")}</th>
              <th class="number">{t("At least")}</th>
              <th class="number">{t("At most")}</th>
              <th class="number">{t("Packets")}</th>
              <th class="number">{t("Bytes")}</th>
              <th class="number">{t("Errors")}</th>
            </tr>
          </thead>
          <tbody>
            {data.queues.map(({ queue, values }) => (
              <tr key={queue}>
                <td>{queue === "Default" ? t("0 (all else)") : queue}</td>
                <td class="number">{rate(values["min-rate"])}</td>
                <td class="number">{rate(values["max-rate"])}</td>
                <td class="number">{count(values["tx_packets"])}</td>
                <td class="number">{bytes(values["tx_bytes"] ?? 0)}</td>
                <td class="number">{count(values["tx_errors"])}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
