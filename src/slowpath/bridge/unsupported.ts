/**
 * What the database may ask for and this switch does not do yet. Nothing of it is ignored silently:
 * each is named once in the log, and what concerns one interface in its `error` column too.
 */
import type { Row } from "../../db/replica.ts";
import type { Devices } from "../../fastpath/devices.ts";
import { isTunnelType } from "../tunnels/kinds.ts";
import type { WantedBridge, WantedInterface } from "./wanted.ts";

/** Interface types that Open vSwitch has and this switch has not yet. */
const LATER_TYPES = new Set([
  "stt",
  "bareudp",
  "srv6",
  "tap",
  "dpdk",
  "dpdkvhostuser",
  "dpdkvhostuserclient",
  "afxdp",
  "afxdp-nonpmd",
]);

/** Why the type cannot be set up, or undefined if it can. */
export function refusedType(iface: WantedInterface, { maker }: Devices): string | undefined {
  if (maker?.makes(iface.type || "system")) return undefined;
  switch (iface.type) {
    case "":
    case "system":
    case "netdev":
    case "internal":
    case "patch":
    case "pcap":
      return undefined;
    default: {
      if (isTunnelType(iface.type)) return undefined;
      const why = LATER_TYPES.has(iface.type) ? "is not supported yet" : "is unknown";
      return `could not open network device ${iface.name} (type "${iface.type}" ${why})`;
    }
  }
}

/** Settings of an interface that have no effect yet. */
export function unsupportedInterface(
  row: Row<"Interface">,
  policed: boolean,
): string[] {
  const found: string[] = [];
  if (!policed && row.ingress_policing_rate > 0) found.push("ingress_policing_rate");
  if (!policed && row.ingress_policing_kpkts_rate > 0) found.push("ingress_policing_kpkts_rate");
  if (row.lldp.get("enable") === "true") found.push("lldp:enable");
  if (row.type === "" || row.type === "system") found.push(...wrongOptions(row));
  return found;
}

/** Options of a device of the host with values that are none (`attach.ts` reads them). */
function wrongOptions({ options }: Row<"Interface">): string[] {
  const queues = options.get("n_rxq") ?? "1";
  const io = options.get("io") ?? "libpcap";
  return [
    ...(/^[1-8]$/.test(queues) ? [] : [`options:n_rxq=${queues} (not 1 to 8)`]),
    ...(io === "libpcap" ? [] : [`options:io=${io} (not libpcap)`]),
  ];
}

/** Settings of a bridge that have no effect yet. */
export function unsupportedBridge({ row }: WantedBridge): string[] {
  const found: string[] = [];
  if (row.stp_enable) found.push("stp_enable");
  if (row.rstp_enable) found.push("rstp_enable");
  if (row.auto_attach !== undefined) found.push("auto_attach");
  if (row.flood_vlans.length > 0) found.push("flood_vlans");
  return found;
}
