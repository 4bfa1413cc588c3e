/** One flow: its counters as they run, and the datapath flows that were made from it. */
import type { z } from "zod";
import type { datapathFlowsSchema } from "../../../routes/flows.ts";
import { part } from "../core/api.ts";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { bitRate, bytes, count, duration, short } from "../core/format.ts";
import { placeText } from "../core/router.ts";
import { Dialog } from "../ui/form.tsx";
import { Icon } from "../ui/icons.tsx";
import { Badge, Copy } from "../ui/parts.tsx";
import { flowText, removalPath } from "./flow-editor.tsx";
import type { Flow, Rate } from "./flow-rates.ts";

export interface FlowDialogProps {
  readonly bridge: string;
  readonly flow: Flow;
  readonly rate: Rate | undefined;
  readonly onEdit: () => void;
  readonly onClose: () => void;
}

export function FlowDialog({ bridge, flow, rate, onEdit, onClose }: FlowDialogProps) {
  const { api, toasts } = useApp();
  const t = useTexts();
  const may = useMay("operator");
  const { busy, run } = useAction();
  const { table, priority, match } = flow;
  const query = new URLSearchParams({
    bridge,
    table: String(table),
    priority: String(priority),
    match,
    limit: "100",
  });
  const made = useQuery<z.infer<typeof datapathFlowsSchema>>(`/datapath/flows?${query}`, {
    everyMs: 2500,
  });
  const text = flowText(flow);
  const remove = (): void =>
    void run(async () => {
      await api.ask("DELETE", removalPath(bridge, flow));
      const { cookie, idleTimeout, hardTimeout, actions } = flow;
      const body = { table, priority, match, actions, cookie, idleTimeout, hardTimeout };
      const undo = (): void =>
        void api.ask("POST", `/bridges/${part(bridge)}/flows`, { body }).then(
          () => toasts.good(t("The flow is back, with new counters.")),
          (error: Error) => toasts.bad(error.message),
        );
      toasts.good(t("The flow was removed."), { label: t("Undo"), run: undo });
      onClose();
    });
  return (
    <Dialog
      title={t("Flow of {bridge}", { bridge })}
      wide
      onClose={onClose}
      more={
        <>
          {may && (
            <>
              <button type="button" onClick={onEdit}>
                <Icon name="edit" /> {t("Change")}
              </button>
              <button type="button" class="danger" disabled={busy} onClick={remove}>
                <Icon name="remove" /> {t("Remove")}
              </button>
            </>
          )}
          <a class="button" href={placeText(["trace"], { bridge, flow: match })}>
            <Icon name="trace" /> {t("Trace a packet of it")}
          </a>
        </>
      }
    >
      <div class="row">
        <pre class="block">{text}</pre>
        <Copy text={text} />
      </div>
      <dl class="facts">
        <dt>{t("Packets")}</dt>
        <dd>
          {count(flow.packets)}{" "}
          <span class="quiet">{rate && `${short(rate.pps)} ${t("packets/s")}`}</span>
        </dd>
        <dt>{t("Bytes")}</dt>
        <dd>
          {bytes(flow.bytes ?? 0)} <span class="quiet">{rate && bitRate(rate.bps)}</span>
        </dd>
        <dt>{t("There for")}</dt>
        <dd>{duration(flow.durationSeconds)}</dd>
        <dt>{t("Last packet")}</dt>
        <dd>
          {(flow.packets ?? 0) === 0
            ? t("none yet")
            : t("{time} ago", { time: duration(flow.idleAgeSeconds) })}
        </dd>
        <dt>{t("Timeouts")}</dt>
        <dd>
          {t("idle {idle}, hard {hard}", {
            idle: flow.idleTimeout === 0 ? t("none") : `${flow.idleTimeout} s`,
            hard: flow.hardTimeout === 0 ? t("none") : `${flow.hardTimeout} s`,
          })}
        </dd>
        <dt>{t("Cookie")}</dt>
        <dd class="mono">{flow.cookie}</dd>
        {flow.flags.length > 0 && (
          <>
            <dt>{t("Flags")}</dt>
            <dd class="row tight">{flow.flags.map((flag) => <Badge key={flag}>{flag}</Badge>)}</dd>
          </>
        )}
      </dl>
      <section class="stack">
        <h3>{t("Datapath flows made from it ({n})", { n: made.data?.total ?? 0 })}</h3>
        {made.data?.flows.map((line) => (
          <div class="row" key={line}>
            <Placement line={line} />
            <pre class="block">{line}</pre>
          </div>
        ))}
        {made.data?.total === 0 && (
          <p class="quiet">
            {t("None now: no packet has met this flow within the last seconds.")}
          </p>
        )}
        {made.error && <p class="bad">{made.error.message}</p>}
      </section>
    </Dialog>
  );
}

/** Where a datapath flow is done: `dp:ebpf` of its line. */
function Placement({ line }: { readonly line: string }) {
  const t = useTexts();
  const place = /\bdp:(\w+)/.exec(line)?.[1];
  if (place === undefined) return null;
  return place === "ebpf"
    ? <Badge tone="good">{t("in the kernel")}</Badge>
    : <Badge>{t("in userspace")}</Badge>;
}
