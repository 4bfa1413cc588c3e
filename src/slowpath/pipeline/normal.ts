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
import { formatMac } from "../../packet/address.ts";
import type { FlowKey } from "../../packet/key.ts";
import { macNumber } from "../bridge/learning.ts";
import { AT, ETH_ARP, inPort, look16, lookBytes, u16, u32, VLAN_CFI, VLAN_VID } from "./bits.ts";
import { isMirrorOutput } from "./mirror.ts";
import { snoopedBundles } from "./multicast.ts";
import type { BundleModel } from "./model.ts";
import { outputToPort } from "./output.ts";
import { setTags, tags } from "./tags.ts";
import type { Tracer } from "./tracer.ts";
import { bondRefusal, outputToBond } from "./bond-output.ts";
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

/** The bundle that packets of the port belong to; one without members for packets of no port. */
export function inputBundle(x: Xlate, ofport: number): BundleModel | undefined {
  const bundle = x.port(ofport)?.bundle ?? (noPort(ofport) ? NO_PORT : undefined);
  if (!bundle) x.complain(`received packet on unknown port ${ofport}`);
  return bundle;
}

export function normal(x: Xlate): void {
  const { key, mask } = x;
  lookBytes(mask, AT.ethSrc, 6);
  lookBytes(mask, AT.ethDst, 6);
  look16(mask, AT.vlanTci, VLAN_VID | VLAN_CFI);

  const port = x.port(inPort(key));
  const from = inputBundle(x, inPort(key));
  if (!from) return x.tracer?.report("warn", "no input bundle, dropping");
  // A tag that was cut off.
  const type = u16(key, AT.ethType);
  if ((type === 0x8100 || type === 0x88a8) && !(u16(key, AT.vlanTci) & VLAN_CFI)) {
    x.unlike();
    if (x.inPacket) {
      x.complain(`dropping packet with partial VLAN tag received on port ${from.name}`);
    }
    return x.tracer?.report("warn", "partial VLAN tag, dropping");
  }
  if (isMirrorOutput(x, from)) {
    x.unlike();
    if (x.inPacket) {
      x.complain(
        `dropping packet received on port ${from.name}, ` +
          "which is reserved exclusively for mirroring",
      );
    }
    return x.tracer?.report("warn", "input port is mirror output port, dropping");
  }

  if (from.vlan.mode === "dot1q-tunnel") look16(mask, AT.vlan2Tci, 0xffff);
  const wire = wireVlans(key);
  if (from !== NO_PORT && !admitsVid(from, wire.outer.vid)) {
    reportBadVid(x, from, wire.outer.vid);
    return x.tracer?.report("warn", "disallowed VLAN VID for this input port, dropping");
  }
  const vlans = innerVlans(from, wire);
  const vlan = vlans.outer.vid;

  const destination = macNumber(key.bytes, AT.ethDst);
  if (port && !x.bridge.forwardBpdu && isReserved(destination)) {
    return x.tracer?.report("detail", "packet has reserved destination MAC, dropping");
  }

  if (port && from.bond) {
    const refusal = bondRefusal(x, from, port, vlan);
    if (refusal !== undefined) return x.tracer?.report("detail", refusal);
  }
  const gratuitousArp = isGratuitousArp(key, mask);
  if (port && u32(key, AT.packetType) === 0) {
    if (x.learns && x.tracer) reportLearning(x, x.tracer, from, vlan);
    x.effect({
      type: "learn",
      bridge: x.bridge,
      vlan,
      mac: macNumber(key.bytes, AT.ethSrc),
      port: port.ofport,
      gratuitousArp,
    });
  }

  const { snooping } = x.bridge;
  const snooped = snooping?.isEnabled ? snoopedBundles(x, snooping, from, vlan) : undefined;
  if (snooped === "flood") return flood(x, from, vlans);
  if (snooped) {
    for (const bundle of snooped) {
      if (includes(bundle, vlans) && !isMirrorOutput(x, bundle)) outputToBundle(x, bundle, vlans);
    }
    return;
  }

  const known = x.lookupMac(vlan, destination);
  if (!known) {
    x.tracer?.report("detail", "no learned MAC for destination, flooding");
    return flood(x, from, vlans);
  }
  if (isMirrorOutput(x, known)) {
    return x.tracer?.report("warn", "learned port is a mirror port, dropping");
  }
  if (known === from) {
    return x.tracer?.report("detail", "learned port is input port, dropping");
  }
  x.tracer?.report("detail", "forwarding to learned port");
  outputToBundle(x, known, vlans);
}

/** Why the bundle's configuration refuses the VLAN. */
export function reportBadVid(x: Xlate, { name, vlan }: BundleModel, vid: number): void {
  switch (vlan.mode) {
    case "access":
      return x.complain(
        `dropping VLAN ${vid} tagged packet received on port ${name} ` +
          `configured as VLAN ${vlan.tag} access port`,
      );
    case "trunk":
    case "native-tagged":
    case "native-untagged":
      return x.complain(
        `dropping VLAN ${vid} packet received on port ${name} not configured for ` +
          `trunking VLAN ${vid}`,
      );
    case "dot1q-tunnel":
      return x.complain(
        `dropping VLAN ${vid} packet received on dot1q-tunnel port ${name} that excludes this VLAN`,
      );
    default: {
      const never: never = vlan.mode;
      throw new Error(`vlan mode ${never}`);
    }
  }
}

/** Says so if the packet makes the switch learn something. */
function reportLearning(x: Xlate, tracer: Tracer, from: BundleModel, vlan: number): void {
  const mac = macNumber(x.key.bytes, AT.ethSrc);
  if (Math.floor(mac / 2 ** 40) & 1) return;
  if (!x.bridge.macs.wouldChange(vlan, mac, from, from.members.length > 1)) return;
  const address = formatMac(x.key.bytes, AT.ethSrc);
  tracer.report("detail", `learned that ${address} is on port ${from.name} in VLAN ${vlan}`);
}

function flood(x: Xlate, from: BundleModel, vlans: Vlans): void {
  for (const bundle of x.bridge.bundles) {
    if (bundle === from || !includes(bundle, vlans) || isMirrorOutput(x, bundle)) continue;
    if (bundle.members.every(({ config }) => !config.noFlood)) outputToBundle(x, bundle, vlans);
  }
  x.sampling.flooded();
}

/** Through the bundle, with the tags that its configuration wants. */
export function outputToBundle(x: Xlate, bundle: BundleModel, vlans: Vlans): void {
  if (bundle.members.length === 0) return;
  const { key, mask } = x;
  if (bundle.vlan.mode === "dot1q-tunnel" && bundle.vlan.cvlans) {
    look16(mask, AT.vlan2Tci, 0xffff);
  }
  const before = tags(key);
  putWireVlans(bundle, vlans, key, mask);
  if (bundle.bond) outputToBond(x, bundle.bond);
  else outputToPort(x, bundle.members[0]!.ofport, {});
  setTags(key, before);
}

function noPort(ofport: number): boolean {
  return ofport === PORTS.NONE || ofport === PORTS.CONTROLLER;
}

export function isReserved(mac: number): boolean {
  if (!(Math.floor(mac / 2 ** 40) & 1) && mac > LAST_SINGLE) return false;
  return RESERVED.some(([first, last]) => mac >= first && mac <= last);
}

/** An ARP broadcast by which a host says that it has moved. */
export function isGratuitousArp(key: FlowKey, mask: FlowKey): boolean {
  if (u16(key, AT.ethType) !== ETH_ARP) return false;
  lookBytes(mask, AT.ethDst, 6);
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
