/** What `ovs-appctl bond/show` and `bond/list` print, laid out as Open vSwitch's. */
import { formatMac } from "../../packet/address.ts";
import type { Bond, BondPort } from "./bond.ts";

type AnyBond = Bond<BondPort>;

export function listBonds(bonds: readonly AnyBond[]): string {
  const rows = bonds.map(({ name, settings, recircId, members }) => {
    const id = settings.mode === "active-backup" ? 0 : recircId;
    const names = [...members.keys()].map((port) => port.name).join(", ");
    return `${name}\t${settings.mode}\t${id}\t${names}\n`;
  });
  return `bond\ttype\trecircID\tmembers\n${rows.join("")}`;
}

export function showBond(bond: AnyBond, nowMs: number): string {
  const { settings, members, activeMac } = bond;
  const recirculates = bond.mayRecirculate;
  const ports = [...members.keys()];
  const hasPrimary = [...members.values()].some(({ isPrimary }) => isPrimary);
  const missing = settings.primary !== undefined && !hasPrimary ? " (no such member)" : "";
  const mac = formatMac(activeMac ?? new Uint8Array(6));
  const holder = ports.find((port) => formatMac(port.mac) === mac);
  const lines = [
    `---- ${bond.name} ----`,
    `bond_mode: ${settings.mode}`,
    `bond may use recirculation: ${recirculates ? "yes" : "no"}, ` +
    `Recirc-ID : ${recirculates ? bond.recircId : -1}`,
    `bond-hash-basis: ${settings.basis}`,
    "lb_output action: disabled, bond-id: -1",
  ];
  if (settings.mode === "balance-slb") {
    lines.push(`all members active: ${settings.allMembersActive}`);
  }
  lines.push(`updelay: ${settings.updelayMs} ms`, `downdelay: ${settings.downdelayMs} ms`);
  if (bond.isBalanced) {
    lines.push(`next rebalance: ${Math.round(bond.nextRebalanceMs - nowMs)} ms`);
  }
  lines.push(
    `lacp_status: ${bond.lacpStatus}`,
    `lacp_fallback_ab: ${settings.lacpFallback}`,
    `active-backup primary: ${settings.primary ?? "<none>"}${missing}`,
    `active member mac: ${mac}(${holder?.name ?? "none"})`,
  );
  const sorted = [...members.values()].sort((a, b) => (a.port.name < b.port.name ? -1 : 1));
  for (const member of sorted) {
    const { port, enabled, delayExpiresMs, mayEnable } = member;
    lines.push("", `member ${port.name}: ${enabled ? "enabled" : "disabled"}`);
    if (bond.active === member) lines.push("  active member");
    if (delayExpiresMs !== Infinity) {
      const left = Math.round(delayExpiresMs - nowMs);
      lines.push(`  ${enabled ? "downdelay" : "updelay"} expires in ${left} ms`);
    }
    lines.push(`  may_enable: ${mayEnable}`);
    if (!bond.isBalanced) continue;
    for (const [i, bucket] of (bond.buckets ?? []).entries()) {
      const load = Math.floor(bucket.bytes / 1024);
      if (bucket.member === member && load > 0) lines.push(`  hash ${i}: ${load} kB load`);
    }
  }
  return `${lines.join("\n")}\n\n`;
}
