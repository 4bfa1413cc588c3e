/** The form for a new port: what kind of port decides what is asked. */
import { useState } from "preact/hooks";
import { part } from "../core/api.ts";
import { useAction, useApp, useTexts } from "../core/app.ts";
import { applyChange } from "../core/change.ts";
import { Check, Dialog, Pick, Text } from "../ui/form.tsx";
import { Choice, Note } from "../ui/parts.tsx";
import { type Device, DevicePicker, DeviceWarning, isRisky } from "./device-picker.tsx";

type Kind = "device" | "internal" | "patch" | "tunnel" | "bond";
type Vlan = "all" | "access" | "trunk";
const TUNNELS = ["vxlan", "geneve", "gre", "ip6gre", "erspan", "gtpu", "bareudp"] as const;
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
  const [members, setMembers] = useState("");
  const [peerBridge, setPeerBridge] = useState(bridges.find((each) => each !== bridge) ?? "");
  const [tunnel, setTunnel] = useState<(typeof TUNNELS)[number]>("vxlan");
  const [remote, setRemote] = useState("");
  const [key, setKey] = useState("");
  const [vlan, setVlan] = useState<Vlan>("all");
  const [tag, setTag] = useState("");
  const [trunks, setTrunks] = useState("");
  const [confirm, setConfirm] = useState<boolean>();
  const [wrong, setWrong] = useState<string>();
  const { busy, run } = useAction();
  const risky = kind === "device" && isRisky(device);
  const confirming = confirm ?? risky;
  const peerName = `${name}-peer`.slice(-15);

  const vlanColumns = (): Record<string, unknown> => {
    if (vlan === "access") return { tag: Number(tag) };
    if (vlan === "all" || trunks.trim() === "") return {};
    return { trunks: trunks.split(",").map((each) => Number(each.trim())) };
  };
  const body = (): Record<string, unknown> => {
    switch (kind) {
      case "device":
        return { name: device?.name ?? "" };
      case "internal":
        return { name, type: "internal" };
      case "patch":
        return { name, type: "patch", options: { peer: peerName } };
      case "tunnel":
        return {
          name,
          type: tunnel,
          options: { remote_ip: remote, ...(key !== "" && { key }) },
        };
      case "bond":
        return {
          name,
          interfaces: members.split(",").map((each) => ({ name: each.trim() })),
        };
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
          body: { operations: patchOperations(bridge, name, peerBridge, peerName, vlanColumns()) },
          said: t("{bridge} and {other} are joined.", { bridge, other: peerBridge }),
          confirmWithin,
        });
      } else {
        const columns = { ...body(), ...vlanColumns() };
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
      {kind === "tunnel" && (
        <div class="fields">
          <Pick
            name={t("Encapsulation")}
            value={tunnel}
            choices={TUNNELS.map((each) => [each, each] as const)}
            onChange={setTunnel}
          />
          <Text
            name={t("Remote address")}
            value={remote}
            onChange={setRemote}
            mono
            required
            placeholder="192.0.2.1"
            hint={t("or `flow`: actions set it")}
          />
          <Text
            name={t("Key")}
            value={key}
            onChange={setKey}
            mono
            placeholder="0"
            hint={t("VNI; empty: none; or `flow`")}
          />
        </div>
      )}
      {kind === "bond" && (
        <Text
          name={t("Devices")}
          value={members}
          onChange={setMembers}
          mono
          required
          placeholder="eth1, eth2"
          hint={t("at least two, separated by commas")}
        />
      )}
      <div class="fields">
        <Pick
          name={t("VLANs")}
          value={vlan}
          choices={[
            ["all", t("all (trunk)")],
            ["access", t("one, untagged (access)")],
            ["trunk", t("some (trunk)")],
          ]}
          onChange={setVlan}
        />
        {vlan === "access" && (
          <Text
            name={t("VLAN")}
            type="number"
            min={0}
            max={4095}
            value={tag}
            onChange={setTag}
            required
          />
        )}
        {vlan === "trunk" && (
          <Text
            name={t("VLANs carried")}
            value={trunks}
            onChange={setTrunks}
            placeholder="10, 20"
            pattern="[0-9, ]+"
            required
          />
        )}
      </div>
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
