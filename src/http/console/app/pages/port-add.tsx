/** The form for a new port: what kind of port decides what is asked. */
import { useState } from "preact/hooks";
import { part } from "../core/api.ts";
import { useAction, useApp, useTexts } from "../core/app.ts";
import { applyChange } from "../core/change.ts";
import {
  ALL_VLANS,
  bondColumns,
  NEW_BOND,
  NEW_TUNNEL,
  tunnelColumns,
  vlanColumns,
} from "../core/port-columns.ts";
import { Check, Dialog, Pick, Text } from "../ui/form.tsx";
import { Choice, Note } from "../ui/parts.tsx";
import { type Device, DevicePicker, DeviceWarning, isRisky } from "./device-picker.tsx";
import { BondFields } from "./port-bond.tsx";
import { TunnelFields } from "./port-tunnel.tsx";
import { VlanFields } from "./port-vlan.tsx";

type Kind = "device" | "internal" | "patch" | "tunnel" | "bond";
const CONFIRM_SECONDS = 120;

export interface AddPortProps {
  readonly bridge: string;
  readonly bridges: readonly string[];
  readonly onClose: () => void;
}

export function AddPort({ bridge, bridges, onClose }: AddPortProps) {
  const app = useApp();
  const t = useTexts();
  const [kind, setKind] = useState<Kind>("device");
  const [device, setDevice] = useState<Device>();
  const [name, setName] = useState("");
  const [peerBridge, setPeerBridge] = useState(bridges.find((each) => each !== bridge) ?? "");
  const [tunnel, setTunnel] = useState(NEW_TUNNEL);
  const [bond, setBond] = useState(NEW_BOND);
  const [vlan, setVlan] = useState(ALL_VLANS);
  const [confirm, setConfirm] = useState<boolean>();
  const [wrong, setWrong] = useState<string>();
  const { busy, run } = useAction();
  const risky = kind === "device" && isRisky(device);
  const confirming = confirm ?? risky;
  const peerName = `${name}-peer`.slice(-15);

  const body = (): Record<string, unknown> => {
    switch (kind) {
      case "device":
        return { name: device?.name ?? "" };
      case "internal":
        return { name, type: "internal" };
      case "patch":
        return { name, type: "patch", options: { peer: peerName } };
      case "tunnel":
        return { name, ...tunnelColumns(tunnel) };
      case "bond":
        return { name, ...bondColumns(bond) };
      default: {
        const never: never = kind;
        return never;
      }
    }
  };
  const ready = kind === "device" ? device !== undefined : name !== "";
  const add = (): void => {
    setWrong(undefined);
    void run(async () => {
      const confirmWithin = confirming ? CONFIRM_SECONDS : undefined;
      if (kind === "patch") {
        // Both ends at once: a patch with one end is an error.
        await applyChange(app, t, {
          method: "POST",
          path: "/batch",
          body: {
            operations: patchOperations(bridge, name, peerBridge, peerName, vlanColumns(vlan)),
          },
          said: t("{bridge} and {other} are joined.", { bridge, other: peerBridge }),
          confirmWithin,
        });
      } else {
        const columns = { ...body(), ...vlanColumns(vlan) };
        await applyChange(app, t, {
          method: "POST",
          path: `/bridges/${part(bridge)}/ports`,
          body: columns,
          said: t("Port {name} was added to {bridge}.", { name: String(columns["name"]), bridge }),
          confirmWithin,
        });
      }
      onClose();
    }, (error) => {
      setWrong(error.message);
      return true;
    });
  };

  return (
    <Dialog
      title={t("Add a port to {bridge}", { bridge })}
      onClose={onClose}
      onSubmit={add}
      submit={t("Add the port")}
      busy={busy}
      disabled={!ready}
    >
      <Choice
        label={t("Kind of port")}
        value={kind}
        choices={[
          ["device", t("Device")],
          ["internal", t("Internal")],
          ["patch", t("Patch")],
          ["tunnel", t("Tunnel")],
          ["bond", t("Bond")],
        ]}
        onChange={setKind}
      />
      <p class="quiet">{explain(kind, t)}</p>
      {kind === "device" ? <DevicePicker value={device?.name ?? ""} onChange={setDevice} /> : (
        <Text
          name={t("Name")}
          value={name}
          onChange={setName}
          mono
          required
          maxLength={15}
          hint={t("1 to 15 characters, without / or blanks")}
        />
      )}
      {kind === "patch" && (
        <Pick
          name={t("Other bridge")}
          value={peerBridge}
          choices={bridges.filter((each) => each !== bridge).map((each) => [each, each] as const)}
          onChange={setPeerBridge}
          hint={t("Its end is called {name}.", { name: peerName })}
        />
      )}
      {kind === "tunnel" && <TunnelFields value={tunnel} onChange={setTunnel} />}
      {kind === "bond" && <BondFields value={bond} onChange={setBond} />}
      <VlanFields value={vlan} onChange={setVlan} />
      {kind === "device" && <DeviceWarning device={device} />}
      <Check
        value={confirming}
        onChange={setConfirm}
        label={t("Take the change back by itself unless I keep it within 2 minutes")}
      />
      {wrong !== undefined && <Note tone="bad">{wrong}</Note>}
    </Dialog>
  );
}

function explain(kind: Kind, t: ReturnType<typeof useTexts>): string {
  switch (kind) {
    case "device":
      return t("A network interface of this host: a card, a virtual machine's or container's end.");
    case "internal":
      return t("A new interface of this host on the bridge: it can have addresses of its own.");
    case "patch":
      return t("A cable to another bridge of this switch. Both ends are made.");
    case "tunnel":
      return t("A way to another switch through the network that the host itself uses.");
    case "bond":
      return t("Several devices as one port: more capacity, and none missed when one fails.");
    default: {
      const never: never = kind;
      return never;
    }
  }
}

function patchOperations(
  bridge: string,
  name: string,
  peerBridge: string,
  peerName: string,
  vlan: Record<string, unknown>,
) {
  const end = (at: string, own: string, peer: string, as: string, more: object) => [
    {
      op: "create",
      table: "Interface",
      as: `i${as}`,
      values: { name: own, type: "patch", options: { peer } },
    },
    {
      op: "create",
      table: "Port",
      as: `p${as}`,
      place: `Bridge/${at}/ports`,
      values: { name: own, interfaces: [`@i${as}`], ...more },
    },
  ];
  return [...end(bridge, name, peerName, "1", vlan), ...end(peerBridge, peerName, name, "2", {})];
}
