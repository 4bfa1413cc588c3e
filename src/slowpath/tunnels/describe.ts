/** A tunnel's settings as options again: those that are not Open vSwitch's defaults. */
import { formatAddress } from "../../packet/prefix.ts";
import type { TunnelConfig } from "./config.ts";
import { TUNNEL_TYPES } from "./kinds.ts";

/** Sorted by key, as `dpif/show` prints them. */
export function describeOptions(config: TunnelConfig): ReadonlyMap<string, string> {
  const all = options(config).map(([key, value]): [string, string] => [key, String(value)]);
  return new Map(all.sort(([a], [b]) => a < b ? -1 : 1));
}

type Option = readonly [key: string, value: string | number];

function options(config: TunnelConfig): Option[] {
  const { remote, local, ttl, tos, dstPort, type, packetType } = config;
  const row = TUNNEL_TYPES[type];
  const usual = row.carriesL2 ? "legacy_l2" : "legacy_l3";
  const end = (address: Uint8Array | "flow"): string =>
    address === "flow" ? address : formatAddress(address);
  return [
    ["remote_ip", end(remote)],
    ...some(local !== undefined, "local_ip", local === undefined ? "" : end(local)),
    ...keys(config),
    ...some(ttl !== 64, "ttl", ttl),
    ...some(tos !== 0, "tos", typeof tos === "number" ? hex(tos) : tos),
    ...some(row.udpPort !== undefined && dstPort !== row.udpPort, "dst_port", dstPort),
    ...some(config.checksum, "csum", "true"),
    ...some(config.sequence, "seq", "true"),
    ...some(packetType !== usual, "packet_type", packetType),
    ...some(!config.dontFragment, "df_default", "false"),
    ...some(config.egressMark !== undefined, "egress_pkt_mark", config.egressMark ?? 0),
    ...(row.kind === "erspan" ? erspan(config) : []),
  ];
}

function some(there: boolean, key: string, value: string | number): Option[] {
  return there ? [[key, value]] : [];
}

function keys({ inKey, outKey }: TunnelConfig): Option[] {
  const text = (key: bigint | "flow" | undefined): string => `${key ?? ""}`;
  if (inKey === outKey) return some(inKey !== undefined, "key", text(inKey));
  return [
    ...some(inKey !== undefined, "in_key", text(inKey)),
    ...some(outKey !== undefined, "out_key", text(outKey)),
  ];
}

function erspan({ erspan: { version, index, direction, hardwareId } }: TunnelConfig): Option[] {
  const number = (value: number | "flow"): string => value === "flow" ? value : hex(value);
  switch (version) {
    case "flow":
      return ["ver", "idx", "dir", "hwid"].map((name) => [`erspan_${name}`, "flow"]);
    case 1:
      return [["erspan_ver", 1], ["erspan_idx", number(index)]];
    case 2:
      return [
        ["erspan_ver", 2],
        ["erspan_dir", direction],
        ["erspan_hwid", number(hardwareId)],
      ];
    default:
      return [["erspan_ver", version]];
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
