/** Bridges and their ports: what there is, live, and everything that can be changed of it. */
import { useState } from "preact/hooks";
import type { Bridge, Bridges as BridgesJson } from "../../../routes/bridges.ts";
import { part } from "../core/api.ts";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { applyChange } from "../core/change.ts";
import { count } from "../core/format.ts";
import { placeText } from "../core/router.ts";
import { Dialog } from "../ui/form.tsx";
import { Icon } from "../ui/icons.tsx";
import type { PageProps } from "../ui/pages.tsx";
import { Badge, Card, Dot, Empty, Menu, Waiting } from "../ui/parts.tsx";
import { RowEditor } from "../ui/row-editor.tsx";
import { AddBridge } from "./bridge-add.tsx";
import { AddPort } from "./port-add.tsx";
import { PortDialog } from "./port-dialog.tsx";
import { PortTable } from "./port-table.tsx";

type Open =
  | { readonly what: "add-bridge" }
  | { readonly what: "add-port" | "settings" | "remove"; readonly bridge: string };

export function Bridges({ rest: [bridgeName, portName], query: { add } }: PageProps) {
  const { router } = useApp();
  const t = useTexts();
  const may = useMay("operator");
  const { data, error, reload } = useQuery<BridgesJson>("/bridges", { live: true });
  const [open, setOpen] = useState<Open | undefined>(
    add === "bridge" ? { what: "add-bridge" } : undefined,
  );
  if (data === undefined) return <Waiting error={error} retry={reload} />;
  const { bridges } = data;
  const close = (): void => {
    setOpen(undefined);
    reload();
  };
  const shown = bridges.find(({ name }) => name === bridgeName);
  const port = shown?.ports.find(({ name }) => name === portName);
  return (
    <>
      {may && (
        <div class="row">
          <span class="quiet">
            {t("A bridge forwards between its ports. Changes are in force when they are answered.")}
          </span>
          <button
            type="button"
            class="primary push"
            onClick={() => setOpen({ what: "add-bridge" })}
          >
            <Icon name="add" /> {t("Make a bridge")}
          </button>
        </div>
      )}
      {bridges.length === 0 && (
        <Card>
          <Empty icon="bridges" title={t("No bridge yet")}>
            <p>
              {t(
                "Make one, then attach the devices that it is to join. It learns by itself who is where.",
              )}
            </p>
          </Empty>
        </Card>
      )}
      {bridges.map((bridge) => (
        <BridgeCard
          key={bridge.name}
          bridge={bridge}
          may={may}
          onOpen={(what) => setOpen({ what, bridge: bridge.name })}
        />
      ))}
      {open?.what === "add-bridge" && <AddBridge onClose={close} />}
      {open?.what === "add-port" && (
        <AddPort
          bridge={open.bridge}
          bridges={bridges.map(({ name }) => name)}
          onClose={close}
        />
      )}
      {open?.what === "settings" && (
        <RowEditor
          table="Bridge"
          id={open.bridge}
          title={t("Settings of {name}", { name: open.bridge })}
          onClose={close}
        />
      )}
      {open?.what === "remove" && <RemoveBridge name={open.bridge} onClose={close} />}
      {shown && port && (
        <PortDialog
          bridge={shown}
          port={port}
          onClose={() => {
            router.go(["bridges"]);
            reload();
          }}
        />
      )}
    </>
  );
}

interface BridgeCardProps {
  readonly bridge: Bridge;
  readonly may: boolean;
  readonly onOpen: (what: "add-port" | "settings" | "remove") => void;
}

function BridgeCard({ bridge, may, onOpen }: BridgeCardProps) {
  const t = useTexts();
  const { name, datapathId, failMode, flows, controllers } = bridge;
  return (
    <Card
      title={
        <>
          <h2>{name}</h2>
          <span class="mono faint">{datapathId ?? t("not set up yet")}</span>
          <Badge>{failMode}</Badge>
          <a href={placeText(["flows", name])}>
            {flows === 1 ? t("1 flow") : t("{n} flows", { n: count(flows) })}
          </a>
          {controllers.map(({ target, connected }) => (
            <a key={target} class="row tight" href={placeText(["controllers"])}>
              <Dot tone={connected ? "good" : "bad"} /> <span class="mono">{target}</span>
            </a>
          ))}
        </>
      }
      actions={may && (
        <>
          <button type="button" class="small" onClick={() => onOpen("add-port")}>
            <Icon name="add" /> {t("Add a port")}
          </button>
          <Menu label={t("More about {name}", { name })} button={<>…</>}>
            <li>
              <button type="button" onClick={() => onOpen("settings")}>
                <Icon name="edit" /> {t("Settings")}
              </button>
            </li>
            <li>
              <a class="button" href={placeText(["controllers"], { add: name })}>
                <Icon name="controllers" /> {t("Add a controller")}
              </a>
            </li>
            <li>
              <button type="button" class="danger" onClick={() => onOpen("remove")}>
                <Icon name="remove" /> {t("Remove the bridge")}
              </button>
            </li>
          </Menu>
        </>
      )}
    >
      <PortTable bridge={bridge} />
    </Card>
  );
}

function RemoveBridge({ name, onClose }: { name: string; onClose: () => void }) {
  const app = useApp();
  const t = useTexts();
  const { busy, run } = useAction();
  const remove = (): void =>
    void run(async () => {
      await applyChange(app, t, {
        method: "DELETE",
        path: `/bridges/${part(name)}`,
        said: t("Bridge {name} was removed.", { name }),
      });
      onClose();
    });
  return (
    <Dialog
      title={t("Remove bridge {name}?", { name })}
      onClose={onClose}
      onSubmit={remove}
      submit={t("Remove")}
      danger
      busy={busy}
    >
      <p>
        {t(
          "Its ports are detached, and its flows are gone: they are in no database. Configuration can " +
            "be brought back from the history.",
        )}
      </p>
    </Dialog>
  );
}
