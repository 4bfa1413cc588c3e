/**
 * What a packet does to the switch besides leaving it: counters, learned addresses, timeouts.
 *
 * Translation only lists effects. They are run once for the packet that was translated, and again
 * each time the datapath reports more packets of the same megaflow: then nothing is translated anew,
 * the list is simply credited with the difference.
 */
import type { Learned } from "./learn.ts";
import type { Group, Groups } from "./groups.ts";
import type { BondModel, BridgeModel, MirrorModel, PatchStats } from "./model.ts";
import type { Rule } from "./rule.ts";
import type { NetflowKey, NetflowModel } from "./sampling.ts";
import type { FlowTables } from "./tables.ts";

export type Effect =
  /** The rule handled the packet. */
  | { readonly type: "rule"; readonly rule: Rule }
  /** A table was searched. */
  | {
    readonly type: "lookup";
    readonly tables: FlowTables;
    readonly table: number;
    readonly rule: Rule | undefined;
    /** The packet was as it came in: a match on it can be told from the megaflow alone. */
    readonly pristine: boolean;
    /** Rules of a lower priority than this cannot change what was found. */
    readonly outranks: number;
  }
  /** NORMAL saw a source address. */
  | {
    readonly type: "learn";
    readonly bridge: BridgeModel;
    readonly vlan: number;
    readonly mac: number;
    /** OpenFlow port that it came in by: what is behind that number when the packets are counted. */
    readonly port: number;
    readonly gratuitousArp: boolean;
  }
  /** A group was used; undefined: there was none. `bucket` is its index: undefined: all, -1: none. */
  | {
    readonly type: "group";
    readonly groups: Groups;
    readonly id: number;
    readonly group: Group | undefined;
    readonly bucket: number | undefined;
  }
  /** It mattered whether a group has a live bucket. */
  | { readonly type: "watch"; readonly groups: Groups; readonly id: number }
  /** `learn` made a rule. */
  | { readonly type: "taught"; readonly learned: Learned }
  /** `learn` would have made one, but there are as many as may be in that table. */
  | { readonly type: "untaught"; readonly tables: FlowTables; readonly table: number }
  /** The packet went through a patch. */
  | {
    readonly type: "patch";
    readonly out: PatchStats | undefined;
    readonly in: PatchStats | undefined;
  }
  /** What comes after is counted with so many bytes more a packet: outer headers. */
  | { readonly type: "header"; readonly bytes: number }
  /** Something else that lives as long as packets come. */
  | { readonly type: "touch"; touch(): void }
  /** It belongs to no port, and is dropped. */
  | { readonly type: "refused"; count(packets: number): void }
  /** A bond sent it. */
  | { readonly type: "bond"; readonly bond: BondModel; readonly bucket: number }
  /** A mirror got a copy. */
  | { readonly type: "mirror"; readonly mirror: MirrorModel }
  /** NetFlow counts it. `output` in NetFlow's words. */
  | {
    readonly type: "netflow";
    readonly model: NetflowModel;
    readonly key: NetflowKey;
    readonly output: number;
  }
  /** `fin_timeout`: acts when the packets had FIN or RST. Seconds, 0: leave. */
  | {
    readonly type: "fin";
    readonly tables: FlowTables;
    readonly rule: Rule;
    readonly idle: number;
    readonly hard: number;
  };

const FIN_OR_RST = 0x005;

/** Runs the effects for some packets, the last of them seen at `usedMs` (clock time). */
export function credit(
  effects: readonly Effect[],
  packets: number,
  innerBytes: number,
  usedMs: number,
  tcpFlags: number,
): void {
  let bytes = innerBytes;
  for (const effect of effects) {
    switch (effect.type) {
      case "rule":
        effect.rule.credit(packets, bytes, usedMs);
        break;
      case "lookup":
        effect.tables.countLookups(
          effect.table,
          effect.rule ? packets : 0,
          effect.rule ? 0 : packets,
        );
        break;
      case "learn": {
        const bundle = effect.bridge.ports.get(effect.port)?.bundle;
        if (!bundle) break;
        effect.bridge.macs.learn(effect.vlan, effect.mac, bundle, {
          gratuitousArp: effect.gratuitousArp,
          fromBond: bundle.members.length > 1,
          seenMs: usedMs,
        });
        break;
      }
      case "group":
        if (effect.bucket !== -1) effect.group?.credit(effect.bucket, packets, bytes);
        break;
      case "watch":
      case "untaught":
        break;
      case "taught":
        effect.learned.refresh(usedMs);
        break;
      case "patch":
        if (effect.out) {
          effect.out.txPackets += packets;
          effect.out.txBytes += bytes;
        }
        if (effect.in) {
          effect.in.rxPackets += packets;
          effect.in.rxBytes += bytes;
        }
        break;
      case "header":
        bytes += effect.bytes * packets;
        break;
      case "touch":
        effect.touch();
        break;
      case "refused":
        effect.count(packets);
        break;
      case "bond":
        effect.bond.account(effect.bucket, bytes);
        break;
      case "mirror":
        effect.mirror.stats.packets += packets;
        effect.mirror.stats.bytes += bytes;
        break;
      case "netflow":
        effect.model.count(effect.key, effect.output, packets, bytes, usedMs, tcpFlags);
        break;
      case "fin":
        if (tcpFlags & FIN_OR_RST) {
          effect.tables.reduceTimeouts(effect.rule, effect.idle, effect.hard);
        }
        break;
      default: {
        const never: never = effect;
        throw new Error(`effect ${never}`);
      }
    }
  }
}

/** No packets will come for these effects: their flow is gone from the datapath. */
export function end(effects: readonly Effect[]): void {
  for (const effect of effects) if (effect.type === "netflow") effect.model.ended(effect.key);
}
