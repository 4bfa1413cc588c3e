/**
 * Mirrors (ovs-vswitchd.conf.db(5), "Mirror TABLE"): copies of packets that come in or go out through
 * selected ports, in selected VLANs, to a port of their own or into a VLAN.
 *
 * A packet goes to a mirror's destination once, whatever number of mirrors select it and however
 * often it is output. A port that mirrors output to takes nothing else, in either direction.
 */
import { AT, inPort, look16, lookBytes, VLAN_CFI, VLAN_VID } from "./bits.ts";
import type { BundleModel, MirrorModel } from "./model.ts";
import { inputBundle, isReserved, outputToBundle, reportBadVid } from "./normal.ts";
import { admitsVid, includes, innerVlans, wireVlans } from "./vlan.ts";
import { macNumber } from "../bridge/learning.ts";
import type { Xlate } from "./xlate.ts";

const NONE: readonly MirrorModel[] = [];

function mirrorsOf(x: Xlate): readonly MirrorModel[] {
  return x.bridge.mirrors ?? NONE;
}

/** Is the bundle a mirror's destination, and so for nothing else? */
export function isMirrorOutput(x: Xlate, bundle: BundleModel): boolean {
  return mirrorsOf(x).some(({ output }) => output === bundle);
}

/** The packet has come in. */
export function mirrorIngress(x: Xlate): void {
  const mirrors = mirrorsOf(x);
  if (mirrors.length === 0) return;
  const bundle = inputBundle(x, inPort(x.key));
  if (bundle) mirror(x, bundle, mirrors.filter(({ sources }) => sources.has(bundle)));
}

/** The packet goes out through the bundle. */
export function mirrorEgress(x: Xlate, bundle: BundleModel): void {
  const mirrors = mirrorsOf(x);
  if (mirrors.length === 0) return;
  mirror(x, bundle, mirrors.filter(({ destinations }) => destinations.has(bundle)));
}

const bitOf = (x: Xlate, mirror: MirrorModel): number => 1 << mirrorsOf(x).indexOf(mirror);

function mirror(x: Xlate, bundle: BundleModel, selected: readonly MirrorModel[]): void {
  const wire = wireVlans(x.key);
  if (bundle.members.length > 0 && !admitsVid(bundle, wire.outer.vid)) {
    reportBadVid(x, bundle, wire.outer.vid);
    return;
  }
  const vlans = innerVlans(bundle, wire);
  for (const each of selected) {
    if (x.mirrors & bitOf(x, each)) continue;
    if (each.vlans) {
      look16(x.mask, AT.vlanTci, VLAN_CFI | VLAN_VID);
      if (!each.vlans.has(vlans.outer.vid)) continue;
    }
    x.effect({ type: "mirror", mirror: each });
    for (const other of mirrorsOf(x)) {
      if (other.output === each.output && other.outputVlan === each.outputVlan) {
        x.mirrors |= bitOf(x, other);
      }
    }
    x.mirrorLength = each.snapLength;
    if (each.output) outputToBundle(x, each.output, vlans);
    else if (vlans.outer.vid !== each.outputVlan && !isToBridges(x)) {
      const moved = { ...vlans, outer: { ...vlans.outer, vid: each.outputVlan } };
      for (const out of x.bridge.bundles) {
        if (includes(out, moved) && !isMirrorOutput(x, out)) outputToBundle(x, out, moved);
      }
    }
    x.mirrorLength = 0;
  }
}

/** Copies in a VLAN leave out what no bridge forwards. */
function isToBridges({ key, mask }: Xlate): boolean {
  lookBytes(mask, AT.ethDst, 6);
  return isReserved(macNumber(key.bytes, AT.ethDst));
}
