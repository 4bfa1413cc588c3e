/** One port: its state and traffic, and the ways to change or remove it. */
import { useState } from "preact/hooks";
import type { Bridge } from "../../../routes/bridges.ts";
import { part } from "../core/api.ts";
import { useAction, useApp, useMay, useTexts } from "../core/app.ts";
import { applyChange } from "../core/change.ts";
import { bitRate, count } from "../core/format.ts";
import { placeText } from "../core/router.ts";
import { useStore } from "../core/store.ts";
import { Dialog } from "../ui/form.tsx";
import { Icon } from "../ui/icons.tsx";
import { Badge, Dot, Note, Spark } from "../ui/parts.tsx";
import { RowEditor } from "../ui/row-editor.tsx";
import { BondBadges, MemberBadge } from "./port-bond.tsx";
import { PortQueues } from "./port-queues.tsx";
import type { Port } from "./port-table.tsx";
import { vlanText } from "./port-table.tsx";
import { remedy } from "./problems.tsx";

export interface PortDialogProps {
  readonly bridge: Bridge;
  readonly port: Port;
  readonly onClose: () => void;
}

type Editing = { readonly table: "Port" | "Interface"; readonly id: string };

export function PortDialog({ bridge, port, onClose }: PortDialogProps) {
  const app = useApp();
  const { live } = app;
  const t = useTexts();
  const may = useMay("operator");
  const [editing, setEditing] = useState<Editing>();
  const [removing, setRemoving] = useState(false);
  const { busy, run } = useAction();
  const recent = useStore(live.recent);
  if (editing !== undefined) {
    const close = (): void => setEditing(undefined);
    const title = `${editing.table} ${editing.id}`;
    return <RowEditor table={editing.table} id={editing.id} title={title} onClose={close} />;
  }
  const remove = (): void =>
    void run(async () => {
      await applyChange(app, t, {
        method: "DELETE",
        path: `/bridges/${part(bridge.name)}/ports/${part(port.name)}`,
        said: t("Port {name} was removed.", { name: port.name }),
      });
      onClose();
    });
  if (removing) {
    return (
      <Dialog
        title={t("Remove port {name}?", { name: port.name })}
        onClose={() => setRemoving(false)}
        onSubmit={remove}
        submit={t("Remove")}
        danger
        busy={busy}
      >
        <p>{t("Packets do not reach what is behind it any more. It can be undone right after.")}</p>
      </Dialog>
    );
  }
  return (
    <Dialog
      title={t("Port {name} of {bridge}", { name: port.name, bridge: bridge.name })}
      wide
      onClose={onClose}
      more={may && (
        <>
          <button type="button" onClick={() => setEditing({ table: "Port", id: port.name })}>
            <Icon name="edit" /> {t("Port settings")}
          </button>
          {port.interfaces.map(({ name }) => (
            <button
              type="button"
              key={name}
              onClick={() => setEditing({ table: "Interface", id: name })}
            >
              <Icon name="device" /> {port.interfaces.length === 1 ? t("Interface settings") : name}
            </button>
          ))}
          {port.name !== bridge.name && (
            <button
              type="button"
              class="danger"
              onClick={() => setRemoving(true)}
            >
              <Icon name="remove" /> {t("Remove")}
            </button>
          )}
        </>
      )}
    >
      {port.bond !== null && (
        <p class="row tight">
          <BondBadges bond={port.bond} />
        </p>
      )}
      {port.interfaces.map((one) => {
        const history = recent.flatMap(({ ports }) =>
          ports.find((each) => each.bridge === bridge.name && each.name === one.name) ?? []
        );
        const now = history.at(-1);
        return (
          <section class="stack" key={one.name}>
            {one.error !== null && (
              <Note tone="bad">
                {one.error}
                <br />
                <span class="quiet">{remedy(one.error, t)}</span>
              </Note>
            )}
            <div class="columns">
              <div>
                <span class="quiet">{t("Received")}</span>{" "}
                <strong>{bitRate(now?.rxBps ?? 0)}</strong>
                <Spark values={history.map(({ rxBps }) => rxBps)} />
              </div>
              <div>
                <span class="quiet">{t("Sent")}</span> <strong>{bitRate(now?.txBps ?? 0)}</strong>
                <Spark values={history.map(({ txBps }) => txBps)} out />
              </div>
            </div>
            <dl class="facts">
              <dt>{t("Interface")}</dt>
              <dd class="row tight">
                <span class="mono">{one.name}</span>
                {port.bond !== null && <MemberBadge bond={port.bond} name={one.name} />}
              </dd>
              <dt>{t("Type")}</dt>
              <dd>{one.type || t("device of the host")}</dd>
              <dt>{t("Link")}</dt>
              <dd class="row tight">
                <Dot tone={one.linkState === "up" ? "good" : "bad"} /> {one.linkState ?? "–"}
                {one.linkSpeedBps !== null && <Badge>{bitRate(one.linkSpeedBps)}</Badge>}
                {one.adminState === "down" && <Badge tone="warn">{t("switched off")}</Badge>}
              </dd>
              <dt>{t("OpenFlow port")}</dt>
              <dd>{one.ofport ?? "–"}</dd>
              <dt>{t("VLANs")}</dt>
              <dd>{vlanText(port, t)}</dd>
              <dt>{t("MAC")}</dt>
              <dd class="mono">{one.mac ?? "–"}</dd>
              <dt>{t("MTU")}</dt>
              <dd>{one.mtu ?? "–"}</dd>
            </dl>
            <details>
              <summary>{t("All counters")}</summary>
              <dl class="facts counters">
                {Object.entries(one.statistics).map(([name, value]) => (
                  <>
                    <dt class="mono">{name}</dt>
                    <dd class="number">{count(value)}</dd>
                  </>
                ))}
              </dl>
            </details>
          </section>
        );
      })}
      {port.qos !== null && <PortQueues bridge={bridge.name} port={port.name} />}
      <p class="row">
        <a href={placeText(["flows", bridge.name], { q: `in_port=${port.name}` })}>
          {t("Flows of packets that come in here")}
        </a>
        <a href={placeText(["capture"], { bridge: bridge.name, port: port.name })}>
          {t("Capture its packets")}
        </a>
      </p>
    </Dialog>
  );
}
