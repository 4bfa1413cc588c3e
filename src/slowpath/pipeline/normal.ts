/**
 * NORMAL: the packet is switched as a learning VLAN bridge would (IEEE 802.1Q-2018 §8).
 *
 * - The input bundle's VLAN configuration says in which VLAN the packet is, or drops it.
 * - 01:80:c2:00:00:00..0f and the like are not forwarded unless `forward-bpdu` is set.
 * - The source address is learned behind the input bundle; the destination is looked up in the same
 *   VLAN; an unknown, broadcast or multicast one goes to every bundle of the VLAN but the input's.
 * - Nothing ever goes back through the bundle that it came from.
 *
 * The lookup of the destination is a dependency: when the (VLAN, MAC) changes, the megaflow is made
 * again. Packets of a packet-out whose input is no port count as coming from a trunk, learn nothing.
 */
import { PORTS } from "../../openflow/version.ts";
import type { FlowKey } from "../../packet/key.ts";
import { macNumber } from "../bridge/learning.ts";
import { AT, ETH_ARP, inPort, look16, lookBytes, setU16, u16, VLAN_CFI, VLAN_VID } from "./bits.ts";
import type { BundleModel, PortModel } from "./model.ts";
import { outputToPort } from "./output.ts";
import type { Tracer } from "./tracer.ts";
import type { Xlate } from "./xlate.ts";
import { admitsVid, includes, innerVlans, putWireVlans, type Vlans, wireVlans } from "./vlan.ts";

/** Where packets come from that no port sent. */
const NO_PORT: BundleModel = {
  name: "none",
  vlan: { mode: "trunk", tag: 0, trunks: undefined, priorityTags: "no" },
  protected: false,
  members: [],
};

const BROADCAST = 0xffffffffffff;
/** Ranges of destination addresses that a bridge does not forward; but for Extreme's, groups. */
const RESERVED: readonly (readonly [first: number, last: number])[] = [
  [0x0180c2000000, 0x0180c200000f], // IEEE 802.1D/Q
  [0x00e02b000000, 0x00e02b000000], // Extreme EDP
  [0x00e02b000004, 0x00e02b000004], // Extreme EAPS
  [0x00e02b000006, 0x00e02b000006],
  [0x01000c000000, 0x01000c000000], // Cisco ISL
  [0x01000ccccccc, 0x01000ccccccd], // Cisco CDP, PVST+ and relatives
  [0x01000ccdcdcd, 0x01000ccdcdcd], // STP uplink fast
  [0x01000cccccc0, 0x01000cccccc7], // Cisco CFM
];

/** The last of the reserved addresses that are not group addresses. */
const LAST_SINGLE = 0x00e02b000006;

export function normal(x: Xlate): void {
  const { key, mask } = x;
  lookBytes(mask, AT.ethSrc, 6);
  lookBytes(mask, AT.ethDst, 6);
  look16(mask, AT.vlanTci, VLAN_VID | VLAN_CFI);
  // A tag's type says what kind of tag it is; without a tag there is none to look at.
  if (u16(key, AT.vlanTci) & VLAN_CFI) look16(mask, AT.vlanTpid, 0xffff);

  const port = x.bridge.ports.get(inPort(key));
  const from = port?.bundle ?? (noPort(inPort(key)) ? NO_PORT : undefined);
  if (!from) return x.tracer?.report("warn", "no input bundle, dropping");
  // A tag that was cut off.
  const type = u16(key, AT.ethType);
  if ((type === 0x8100 || type === 0x88a8) && !(u16(key, AT.vlanTci) & VLAN_CFI)) {
    return x.tracer?.report("warn", "partial VLAN tag, dropping");
  }

  if (from.vlan.mode === "dot1q-tunnel") look16(mask, AT.vlan2Tci, 0xffff);
  const wire = wireVlans(key);
  if (!admitsVid(from, wire.outer.vid)) {
    if (x.tracer) reportBadVid(x.tracer, from, wire.outer.vid);
    return x.tracer?.report("warn", "disallowed VLAN VID for this input port, dropping");
  }
  const vlans = innerVlans(from, wire);
  const vlan = vlans.outer.vid;

  const destination = macNumber(key.bytes, AT.ethDst);
  if (port && !x.bridge.forwardBpdu && isReserved(destination)) {
    return x.tracer?.report("detail", "packet has reserved destination MAC, dropping");
  }

  if (port) {
    x.effect({
      type: "learn",
      bridge: x.bridge,
      vlan,
      mac: macNumber(key.bytes, AT.ethSrc),
      port: port.ofport,
      gratuitousArp: isGratuitousArp(key, mask),
    });
  }

  const known = x.lookupMac(vlan, destination);
  if (!known) {
    x.tracer?.report("detail", "no learned MAC for destination, flooding");
    return flood(x, from, vlans);
  }
  if (known === from) {
    return x.tracer?.report("detail", "learned port is input port, dropping");
  }
  x.tracer?.report("detail", "forwarding to learned port");
  outputToBundle(x, known, vlans);
}

/** Why the bundle's configuration refuses the VLAN. */
function reportBadVid(tracer: Tracer, { name, vlan }: BundleModel, vid: number): void {
  switch (vlan.mode) {
    case "access":
      return tracer.report(
        "error",
        `dropping VLAN ${vid} tagged packet received on port ${name} ` +
          `configured as VLAN ${vlan.tag} access port`,
      );
    case "trunk":
    case "native-tagged":
    case "native-untagged":
      return tracer.report(
        "error",
        `dropping VLAN ${vid} packet received on port ${name} not configured for ` +
          `trunking VLAN ${vid}`,
      );
    case "dot1q-tunnel":
      return tracer.report(
        "error",
        `dropping VLAN ${vid} packet received on dot1q-tunnel port ${name} that excludes this VLAN`,
      );
    default: {
      const never: never = vlan.mode;
      throw new Error(`vlan mode ${never}`);
    }
  }
}

function flood(x: Xlate, from: BundleModel, vlans: Vlans): void {
  for (const bundle of x.bridge.bundles) {
    if (bundle === from || !includes(bundle, vlans)) continue;
    if (bundle.members.every(({ config }) => !config.noFlood)) outputToBundle(x, bundle, vlans);
  }
}

function outputToBundle(x: Xlate, bundle: BundleModel, vlans: Vlans): void {
  const port = choose(bundle);
  if (!port) return;
  const { key, mask } = x;
  if (bundle.vlan.mode === "dot1q-tunnel" && bundle.vlan.cvlans) {
    look16(mask, AT.vlan2Tci, 0xffff);
  }
  const tci = u16(key, AT.vlanTci);
  const tpid = u16(key, AT.vlanTpid);
  const tci2 = u16(key, AT.vlan2Tci);
  const tpid2 = u16(key, AT.vlan2Tpid);
  putWireVlans(bundle, vlans, key, mask);
  outputToPort(x, port.ofport);
  setU16(key, AT.vlanTci, tci);
  setU16(key, AT.vlanTpid, tpid);
  setU16(key, AT.vlan2Tci, tci2);
  setU16(key, AT.vlan2Tpid, tpid2);
}

/** The member that carries the packet: the first whose link is up, else the first. */
function choose({ members }: BundleModel): PortModel | undefined {
  return members.length > 1 ? members.find(({ linkUp }) => linkUp) : members[0];
}

function noPort(ofport: number): boolean {
  return ofport === PORTS.NONE || ofport === PORTS.CONTROLLER;
}

function isReserved(mac: number): boolean {
  if (!(Math.floor(mac / 2 ** 40) & 1) && mac > LAST_SINGLE) return false;
  return RESERVED.some(([first, last]) => mac >= first && mac <= last);
}

/** An ARP broadcast by which a host says that it has moved. */
function isGratuitousArp(key: FlowKey, mask: FlowKey): boolean {
  if (u16(key, AT.ethType) !== ETH_ARP) return false;
  if (macNumber(key.bytes, AT.ethDst) !== BROADCAST) return false;
  mask.bytes[AT.nwProto] = 0xff;
  if (key.bytes[AT.nwProto] === 2) return true;
  if (key.bytes[AT.nwProto] !== 1) return false;
  lookBytes(mask, AT.nwSrc, 4);
  lookBytes(mask, AT.nwDst, 4);
  for (let i = 0; i < 4; i++) {
    if (key.bytes[AT.nwSrc + i] !== key.bytes[AT.nwDst + i]) return false;
  }
  return true;
}
