/** What `ovs-appctl lacp/show` and `lacp/show-stats` print, laid out as Open vSwitch's. */
import { formatMac } from "../../packet/address.ts";
import type { Lacp, LacpMember } from "./lacp.ts";
import { LACP_STATE, type LacpInfo } from "./lacp-pdu.ts";

const STATES: readonly (readonly [string, number])[] = Object.entries(LACP_STATE)
  .map(([name, bit]) => [name.toLowerCase(), bit]);

function stateText(state: number): string {
  return STATES.filter(([, bit]) => state & bit).map(([name]) => ` ${name}`).join("");
}

function infoText(who: "actor" | "partner", info: LacpInfo): string {
  return [
    `  ${who} sys_id: ${formatMac(info.systemId)}`,
    `  ${who} sys_priority: ${info.systemPriority}`,
    `  ${who} port_id: ${info.portId}`,
    `  ${who} port_priority: ${info.portPriority}`,
    `  ${who} key: ${info.key}`,
    `  ${who} state:${stateText(info.state)}`,
    "",
  ].join("\n");
}

const byName = ({ members }: Lacp<object>): LacpMember[] =>
  [...members.values()].sort((a, b) => (a.name < b.name ? -1 : 1));

export function showLacp(lacp: Lacp<object>): string {
  const head = [
    `---- ${lacp.name} ----`,
    `  status: ${lacp.active ? "active" : "passive"}${lacp.negotiated ? " negotiated" : ""}`,
    `  sys_id: ${formatMac(lacp.systemId)}`,
    `  sys_priority: ${lacp.systemPriority}`,
    `  aggregation key: ${lacp.key ?? "none"}`,
    `  lacp_time: ${lacp.fast ? "fast" : "slow"}`,
    "",
  ].join("\n");
  const members = byName(lacp).map((member) =>
    [
      "",
      `member: ${member.name}: ${member.status} ${member.attached ? "attached" : "detached"}`,
      `  port_id: ${member.portId}`,
      `  port_priority: ${member.portPriority}`,
      `  may_enable: ${lacp.mayCarry(member)}`,
      "",
      infoText("actor", lacp.actorOf(member)),
      infoText("partner", member.partner),
    ].join("\n")
  );
  return head + members.join("");
}

export function showLacpStats(lacp: Lacp<object>): string {
  const members = byName(lacp).map(({ name, counters }) =>
    [
      "",
      `member: ${name}:`,
      `  TX PDUs: ${counters.txPdus}`,
      `  RX PDUs: ${counters.rxPdus}`,
      `  RX Bad PDUs: ${counters.badPdus}`,
      `  RX Marker Request PDUs: ${counters.markers}`,
      `  Link Expired: ${counters.expired}`,
      `  Link Defaulted: ${counters.defaulted}`,
      `  Carrier Status Changed: ${counters.carrierChanges}`,
      "",
    ].join("\n")
  );
  return `---- ${lacp.name} statistics ----\n${members.join("")}`;
}
