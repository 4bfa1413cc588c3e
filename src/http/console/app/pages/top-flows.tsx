/** The flows that most packets meet now. */
import { useEffect, useState } from "preact/hooks";
import type { Bridge } from "../../../routes/bridges.ts";
import { useApp, useTexts } from "../core/app.ts";
import { bitRate, short } from "../core/format.ts";
import { placeText } from "../core/router.ts";
import { Card, Load } from "../ui/parts.tsx";
import { flowKey, FlowRates, type FlowsJson, type Rate } from "./flow-rates.ts";

interface Ranked extends Rate {
  readonly bridge: string;
  readonly table: number;
  readonly priority: number;
  readonly match: string;
  readonly actions: string;
}

const EVERY_MS = 4000;
const LOOKED_AT = 200;

export function TopFlows({ bridges }: { readonly bridges: readonly Bridge[] }) {
  const { api } = useApp();
  const t = useTexts();
  const [top, setTop] = useState<readonly Ranked[]>();
  const names = bridges.map(({ name }) => name).join(" ");
  useEffect(() => {
    const rates = new FlowRates();
    let stopped = false;
    const look = async (): Promise<void> => {
      if (document.visibilityState !== "visible") return;
      const ranked: Ranked[] = [];
      for (const bridge of names.split(" ").filter(Boolean)) {
        const path = `/bridges/${
          encodeURIComponent(bridge)
        }/flows?sort=-packets&limit=${LOOKED_AT}`;
        const answer = await api.get<FlowsJson>(path).catch(() => undefined);
        if (stopped || answer === undefined) continue;
        for (const flow of answer.flows) {
          const rate = rates.of(`${bridge} ${flowKey(flow)}`, flow);
          if (rate !== undefined && rate.pps > 0) ranked.push({ bridge, ...flow, ...rate });
        }
      }
      if (!stopped) setTop(ranked.sort((a, b) => b.bps - a.bps).slice(0, 8));
    };
    void look();
    const timer = setInterval(() => void look(), EVERY_MS);
    return () => {
      stopped = true;
      clearInterval(timer);
    };
  }, [names]);
  const most = Math.max(1, ...(top ?? []).map(({ bps }) => bps));
  return (
    <Card title={t("Busiest flows")}>
      {top === undefined || top.length === 0
        ? <p class="quiet empty">{t("No flow has packets at this moment.")}</p>
        : (
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th>{t("Flow")}</th>
                  <th class="number">{t("Packets/s")}</th>
                  <th class="number">{t("Rate")}</th>
                </tr>
              </thead>
              <tbody>
                {top.map((flow) => (
                  <tr key={`${flow.bridge} ${flowKey(flow)}`}>
                    <td class="wrap">
                      <a href={placeText(["flows", flow.bridge], { q: flow.match })}>
                        <code>{flow.match || t("everything")}</code>
                      </a>{" "}
                      <span class="faint">
                        → <code>{flow.actions}</code> {flow.bridge}
                      </span>
                      <Load part={flow.bps / most} />
                    </td>
                    <td class="number">{short(flow.pps)}</td>
                    <td class="number">{bitRate(flow.bps)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
    </Card>
  );
}
