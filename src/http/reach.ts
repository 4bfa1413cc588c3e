/**
 * Which interface carries somebody's connection: what the host's routing tables say of the way to an
 * address (proc(5): /proc/net/route and /proc/net/ipv6_route). It serves to warn before an interface
 * is handed to a bridge, so when in doubt it names the default route's interface.
 */
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";

export interface Reach {
  /** The interface towards the address; undefined: it is this host itself. */
  readonly towards: string | undefined;
  /** Interfaces of default routes. */
  readonly defaults: ReadonlySet<string>;
}

interface Route {
  readonly device: string;
  readonly network: bigint;
  readonly prefix: number;
}

const RTF_UP = 1;

/** IPv4 as `/proc/net/route` writes it: hexadecimal in host byte order (little endian). */
function reversed(hex: string): bigint {
  return BigInt(`0x${hex.match(/../g)?.reverse().join("") ?? "0"}`);
}

const bitsOf = (mask: bigint): number => mask.toString(2).replaceAll("0", "").length;

export function parseRoutes4(text: string): Route[] {
  return text.split("\n").slice(1).flatMap((line) => {
    const [device, network, , flags, , , , mask] = line.trim().split(/\s+/);
    if (!device || !network || !flags || !mask || !(parseInt(flags, 16) & RTF_UP)) return [];
    return [{ device, network: reversed(network), prefix: bitsOf(reversed(mask)) }];
  });
}

export function parseRoutes6(text: string): Route[] {
  return text.split("\n").flatMap((line) => {
    const words = line.trim().split(/\s+/);
    const [network, prefix] = words;
    const [flags, device] = words.slice(-2);
    if (!network || !prefix || !flags || !device || device === "lo") return [];
    if (!(parseInt(flags, 16) & RTF_UP)) return [];
    return [{ device, network: BigInt(`0x${network}`), prefix: parseInt(prefix, 16) }];
  });
}

export function parseAddress(text: string): { readonly value: bigint; readonly bits: 32 | 128 } {
  const address = text.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
  if (!address.includes(":")) {
    const value = address.split(".").reduce((sum, part) => (sum << 8n) + BigInt(Number(part)), 0n);
    return { value, bits: 32 };
  }
  const [head = "", tail] = address.split("::");
  const words = (part: string): string[] => part === "" ? [] : part.split(":");
  const [left, right] = [words(head), words(tail ?? "")];
  const middle = tail === undefined ? [] : Array(8 - left.length - right.length).fill("0");
  const value = [...left, ...middle, ...right]
    .reduce((sum, word) => (sum << 16n) + BigInt(parseInt(word, 16)), 0n);
  return { value, bits: 128 };
}

/** The most specific route's interface. */
export function routeTo(routes: readonly Route[], value: bigint, bits: number): string | undefined {
  let best: Route | undefined;
  for (const route of routes) {
    const shift = BigInt(bits - route.prefix);
    if (value >> shift !== route.network >> shift) continue;
    if (best === undefined || route.prefix > best.prefix) best = route;
  }
  return best?.device;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // No IPv6, or no /proc: then nothing is known of it.
    return "";
  }
}

export function reachOf(address: string): Reach {
  const [four, six] = [
    parseRoutes4(read("/proc/net/route")),
    parseRoutes6(read("/proc/net/ipv6_route")),
  ];
  const defaults = new Set(
    [...four, ...six].filter(({ prefix }) => prefix === 0).map(({ device }) => device),
  );
  if (!/^[0-9a-f.:%]+$/i.test(address) || isOwn(address)) return { towards: undefined, defaults };
  const { value, bits } = parseAddress(address);
  return { towards: routeTo(bits === 32 ? four : six, value, bits), defaults };
}

function isOwn(address: string): boolean {
  if (/^(::ffff:)?127\.|^::1$/.test(address)) return true;
  return Object.values(networkInterfaces()).some((list) =>
    list?.some((each) => each.address === address)
  );
}

/** Interface → its addresses, as `10.0.0.1/24`. */
export function addressesByDevice(): ReadonlyMap<string, readonly string[]> {
  return new Map(
    Object.entries(networkInterfaces()).map(([name, list = []]) => [
      name,
      list.flatMap(({ cidr }) => cidr ?? []),
    ]),
  );
}
