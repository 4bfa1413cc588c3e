/**
 * Lists of actions that come again and again: flows by the thousand do the same few things.
 *
 * Decoded once, a list of the same bytes is the same list, which nobody changes: that saves the time
 * and, in a table, the memory of all others. Encoded once, its bytes are kept as long as the list.
 *
 * Not kept: lists that name tunnel options, whose places may change; encodings that depend on the
 * flow's match. Limits: the `MAX_LISTS` latest lists of at most `MAX_BYTES` bytes.
 */
import type { FlowKey } from "../../packet/key.ts";
import type { TunnelFields } from "../tunnel-fields.ts";
import { OF10, type OfVersion } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readActions } from "./codec.ts";
import { readInstructions, writeInstructions } from "./instructions.ts";
import type { Action } from "./types.ts";

const MAX_LISTS = 2048;
const MAX_BYTES = 512;

interface Kept {
  readonly version: OfVersion;
  readonly bare: boolean;
  readonly bytes: Uint8Array;
  readonly actions: Action[];
}

export class ActionLists {
  private byHash = new Map<number, Kept[]>();
  private count = 0;
  private readonly encoded = new WeakMap<readonly Action[], Uint8Array>();

  /** `version`: of all that is encoded. */
  constructor(private readonly version: OfVersion = OF10) {}

  /**
   * The next `length` bytes: a flow's, which are instructions but for OpenFlow 1.0, or bare actions.
   */
  read(reader: Reader, version: OfVersion, length: number, bare: boolean): Action[] {
    const { bytes, offset, left } = reader;
    const decode = bare ? readActions : readInstructions;
    if (length > MAX_BYTES || length > left) return decode(reader, version, length);
    const hash = hashOf(bytes, offset, length, bare ? -version : version);
    const alike = this.byHash.get(hash);
    if (alike) {
      for (const kept of alike) {
        if (kept.version !== version || kept.bare !== bare) continue;
        if (!isAt(kept.bytes, bytes, offset, length)) continue;
        reader.skip(length);
        return kept.actions;
      }
    }
    const { tunnelFields } = reader;
    const watch = new Watch(tunnelFields);
    reader.tunnelFields = tunnelFields && watch;
    const actions = decode(reader, version, length);
    reader.tunnelFields = tunnelFields;
    if (!watch.asked) {
      this.keep(hash, { version, bare, bytes: bytes.slice(offset, offset + length), actions });
    }
    return actions;
  }

  private keep(hash: number, kept: Kept): void {
    if (this.count >= MAX_LISTS) {
      this.byHash = new Map();
      this.count = 0;
    }
    this.count++;
    const alike = this.byHash.get(hash);
    if (alike) alike.push(kept);
    else this.byHash.set(hash, [kept]);
  }

  /** Writes the actions of a flow whose match has this key. */
  write(writer: Writer, version: OfVersion, actions: readonly Action[], key: FlowKey): void {
    const known = version === this.version ? this.encoded.get(actions) : undefined;
    if (known) {
      writer.put(known);
      return;
    }
    const start = writer.length;
    writeInstructions(writer, version, actions, key);
    if (version !== this.version || dependsOnMatch(actions)) return;
    this.encoded.set(actions, writer.copy(start));
  }
}

/** Notes whether it was asked for the place of a tunnel option. */
class Watch implements TunnelFields {
  asked = false;

  constructor(private readonly fields: TunnelFields | undefined) {}

  resolve(index: number, bytes?: number): ReturnType<TunnelFields["resolve"]> {
    this.asked = true;
    return this.fields?.resolve(index, bytes);
  }
}

/** What is said of such an action in some version depends on the packet (`restate` in codec.ts). */
function dependsOnMatch(actions: readonly Action[]): boolean {
  return actions.some((action) => {
    switch (action.type) {
      case "set_vlan_vid":
      case "set_vlan_pcp":
      case "set_tp_src":
      case "set_tp_dst":
        return true;
      case "set_field":
        return action.field.variable === true;
      case "clone":
      case "write_actions":
      case "ct":
        return dependsOnMatch(action.actions);
      case "learn":
      case "move":
        return true;
      default:
        return false;
    }
  });
}

function isAt(kept: Uint8Array, bytes: Uint8Array, at: number, length: number): boolean {
  if (kept.length !== length) return false;
  for (let i = 0; i < length; i++) if (kept[i] !== bytes[at + i]) return false;
  return true;
}

function hashOf(bytes: Uint8Array, at: number, length: number, seed: number): number {
  let hash = seed;
  for (let i = at; i < at + length; i++) {
    hash = Math.imul(hash ^ bytes[i]!, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash;
}

/** What a flow does, at the end of its structure. */
export function readFlowActions(reader: Reader, version: OfVersion): Action[] {
  const lists = reader.cache?.actions;
  return lists
    ? lists.read(reader, version, reader.left, false)
    : readInstructions(reader, version);
}

/** What a packet-out does: the next `length` bytes. */
export function readPacketActions(reader: Reader, version: OfVersion, length: number): Action[] {
  const lists = reader.cache?.actions;
  return lists ? lists.read(reader, version, length, true) : readActions(reader, version, length);
}

/** The same written; `key` is of the flow's match. */
export function writeFlowActions(
  writer: Writer,
  version: OfVersion,
  actions: readonly Action[],
  key: FlowKey,
): void {
  const lists = writer.cache?.actions;
  if (lists) lists.write(writer, version, actions, key);
  else writeInstructions(writer, version, actions, key);
}
