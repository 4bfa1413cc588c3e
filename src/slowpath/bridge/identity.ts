/**
 * Who a bridge is: its Ethernet address and its datapath id, chosen as Open vSwitch chooses them
 * (ovs-vswitchd.conf.db(5), Bridge `other_config:hwaddr`, `other_config:datapath-id`).
 *
 * The address is the one that `hwaddr` asks for; else the lowest globally unique unicast address
 * among the bridge's ports, its own LOCAL port aside; else one made from the record's UUID, so that
 * it stays the same from run to run. The datapath id is what `datapath-id` says; else the address.
 */
import type { Uuid } from "../../db/replica.ts";
import { formatMac, parseMac } from "../../packet/address.ts";

export const isMulticast = (mac: Uint8Array): boolean => (mac[0]! & 1) !== 0;
export const isZeroMac = (mac: Uint8Array): boolean => mac.every((byte) => byte === 0);
export const sameMac = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** Unicast addresses of protocols, which no interface may lend to a bridge (Extreme Networks' EDP, EAPS). */
const RESERVED = ["00:e0:2b:00:00:00", "00:e0:2b:00:00:04", "00:e0:2b:00:00:06"];

function mayRepresent(mac: Uint8Array): boolean {
  const isLocal = (mac[0]! & 2) !== 0;
  return !isMulticast(mac) && !isLocal && !isZeroMac(mac) && !RESERVED.includes(formatMac(mac));
}

/** The address that a bridge without a better one has: the UUID's bytes, marked local and unicast. */
export function defaultMac(uuid: Uuid): Uint8Array {
  const hex = uuid.replaceAll("-", "");
  const byte = (at: number) => Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16);
  // Open vSwitch copies the UUID's 32-bit words as they lie in memory on a little-endian machine.
  const mac = Uint8Array.of(byte(3), byte(2), byte(1), byte(0), byte(7), byte(6));
  mac[0] = (mac[0]! & 0xfe) | 0x02;
  return mac;
}

export interface MacChoice {
  readonly mac: Uint8Array;
  /** Why `other_config:hwaddr` was not used, for the log. */
  readonly problem?: string;
}

/** Chooses a bridge's address. `ports` are the addresses of its ports without LOCAL and mirror outputs. */
export function chooseMac(
  uuid: Uuid,
  hwaddr: string | undefined,
  ports: Iterable<Uint8Array>,
): MacChoice {
  const wanted = hwaddr === undefined ? undefined : parseMac(hwaddr);
  let problem: string | undefined;
  if (wanted && isMulticast(wanted)) {
    problem = `cannot set MAC address to multicast address ${formatMac(wanted)}`;
  } else if (wanted && isZeroMac(wanted)) problem = "cannot set MAC address to zero";
  else if (wanted) return { mac: wanted };
  else if (hwaddr !== undefined) problem = `other_config:hwaddr "${hwaddr}" is not a MAC address`;
  let best: Uint8Array | undefined;
  for (const mac of ports) {
    if (mayRepresent(mac) && (!best || Buffer.compare(mac, best) < 0)) best = mac;
  }
  const mac = best ?? defaultMac(uuid);
  return problem === undefined ? { mac } : { mac, problem };
}

export interface DatapathIdChoice {
  readonly datapathId: bigint;
  readonly problem?: string;
}

/** `wanted`: `other_config:datapath-id`, 16 hex digits or `0x` and up to 16, not zero. */
export function chooseDatapathId(wanted: string | undefined, mac: Uint8Array): DatapathIdChoice {
  if (wanted !== undefined && /^([0-9a-f]{16}|0x[0-9a-f]{1,16})$/i.test(wanted)) {
    const datapathId = BigInt(wanted.startsWith("0x") ? wanted : `0x${wanted}`);
    if (datapathId !== 0n) return { datapathId };
  }
  let datapathId = 0n;
  for (const byte of mac) datapathId = (datapathId << 8n) | BigInt(byte);
  return wanted === undefined ? { datapathId } : {
    datapathId,
    problem: `other_config:datapath-id "${wanted}" is not 16 hexadecimal digits (and not all zero)`,
  };
}

/** As the database and `ovs-ofctl` write it: 16 hexadecimal digits. */
export function formatDatapathId(datapathId: bigint): string {
  return datapathId.toString(16).padStart(16, "0");
}
