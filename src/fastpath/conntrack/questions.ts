/**
 * What crosses between whoever holds the tracker and whoever asks it (possibly another thread, as
 * JSON): changes, which are not answered, and questions, which are. Bytes travel as hex text.
 */
import type { CtFilter, CtFragmentSettings, CtTimeouts, CtTuple, TcpState } from "./types.ts";

export type CtChange =
  | { readonly type: "maxConnections"; readonly limit: number }
  | { readonly type: "sequenceChecks"; readonly enabled: boolean }
  /** `zone` -1: the default. `limit` -1: none of its own. */
  | { readonly type: "zoneLimit"; readonly zone: number; readonly limit: number }
  /** `timeouts` null: the policy goes. */
  | { readonly type: "timeoutPolicy"; readonly id: number; readonly timeouts: CtTimeouts | null }
  | { readonly type: "fragments"; readonly settings: Partial<CtFragmentSettings> };

/** `CtTuple` with its addresses as hex. */
export interface WireTuple extends Omit<CtTuple, "src" | "dst"> {
  readonly src: string;
  readonly dst: string;
}

export interface WireFilter {
  readonly zone?: number;
  readonly tuple?: Partial<WireTuple>;
}

export type CtQuestion =
  /** In parts, since a table may be long: from record `from` on. */
  | { readonly type: "dump"; readonly filter: WireFilter; readonly from: number }
  | { readonly type: "flush"; readonly filter: WireFilter }
  | { readonly type: "stats" }
  | { readonly type: "zoneLimits" };

export interface WireEntry {
  readonly zone: number;
  readonly original: WireTuple;
  readonly reply: WireTuple;
  readonly mark: number;
  readonly label: string;
  readonly timeoutMs: number;
  readonly tcp?: { readonly original: TcpState; readonly reply: TcpState };
  readonly helper?: "ftp" | "tftp";
  readonly parent?: WireTuple;
}

export type CtAnswer =
  /** `next`: where the next part begins; -1 after the last. */
  | { readonly type: "dump"; readonly entries: readonly WireEntry[]; readonly next: number }
  | { readonly type: "flush"; readonly removed: number }
  | {
    readonly type: "stats";
    readonly connections: number;
    readonly maxConnections: number;
    readonly byProtocol: Readonly<Record<string, number>>;
  }
  | {
    readonly type: "zoneLimits";
    /** -1: the default zone. */
    readonly limits: readonly {
      readonly zone: number;
      readonly limit: number;
      readonly count: number;
    }[];
  };

export function wireTuple(tuple: CtTuple): WireTuple {
  return { ...tuple, src: tuple.src.toHex(), dst: tuple.dst.toHex() };
}

export function wireFilter({ zone, tuple }: CtFilter): WireFilter {
  if (tuple === undefined) return zone === undefined ? {} : { zone };
  const { src, dst, ...rest } = tuple;
  return {
    ...(zone === undefined ? {} : { zone }),
    tuple: {
      ...rest,
      ...(src ? { src: src.toHex() } : {}),
      ...(dst ? { dst: dst.toHex() } : {}),
    },
  };
}

export function tupleOf(tuple: WireTuple): CtTuple {
  return { ...tuple, src: Uint8Array.fromHex(tuple.src), dst: Uint8Array.fromHex(tuple.dst) };
}
