/** Flow-removed in each version's structure and in Nicira's. */
import { OfError } from "../errors.ts";
import { readMatch, readNxMatch, readWholeMatch10, writeMatch, writeNxMatch } from "../match.ts";
import { OF11, OF14, type OfVersion, TABLE_ALL } from "../version.ts";
import type { Reader } from "../wire.ts";
import { readOxs, writeOxs } from "./oxs.ts";
import { isNicira, isStandard, type MessageRow, row } from "./rows.ts";
import type { FlowRemoved } from "./types.ts";

const REMOVED_REASONS: readonly FlowRemoved["reason"][] = [
  "idle_timeout",
  "hard_timeout",
  "delete",
  "group_delete",
  "meter_delete",
  "eviction",
];
/** Reasons that a version lacks become "delete" (the later ones), as in Open vSwitch. */
function removedReason(reason: FlowRemoved["reason"], version: OfVersion): number {
  const number = REMOVED_REASONS.indexOf(reason);
  const known = version >= OF14 ? 5 : version >= OF11 ? 3 : 2;
  return number <= known ? number : 2;
}

function readRemovedReason(reader: Reader): FlowRemoved["reason"] {
  const at = reader.offset;
  const reason = REMOVED_REASONS[reader.u8()];
  if (!reason) throw new OfError("NXBRC_BAD_REASON", at, "flow removed reason is unknown");
  return reason;
}

export const FLOW_REMOVED_ROWS: readonly MessageRow[] = [
  row<"flow_removed">({
    type: "flow_removed",
    ids: ["OFPT 1.0(11)"],
    when: isStandard,
    read: (reader) => {
      const match = readWholeMatch10(reader);
      const cookie = reader.u64();
      const priority = reader.u16();
      const reason = readRemovedReason(reader);
      reader.skip(1);
      const durationSeconds = reader.u32();
      const durationNanoseconds = reader.u32();
      const idleTimeout = reader.u16();
      reader.skip(2);
      const packets = reader.counter();
      const bytes = reader.counter();
      return {
        type: "flow_removed",
        match,
        cookie,
        priority,
        reason,
        table: TABLE_ALL,
        durationSeconds,
        durationNanoseconds,
        idleTimeout,
        hardTimeout: 0,
        packets,
        bytes,
      };
    },
    write: (writer, message, { version }) => {
      writeMatch(writer, version, message.match);
      writer.u64(message.cookie).u16(message.priority);
      writer.u8(removedReason(message.reason, version)).zeros(1);
      writer.u32(message.durationSeconds).u32(message.durationNanoseconds);
      writer.u16(message.idleTimeout).zeros(2).u64(message.packets ?? 0n).u64(message.bytes ?? 0n);
    },
  }),
  row<"flow_removed">({
    type: "flow_removed",
    ids: ["OFPT 1.1-1.4(11)"],
    when: isStandard,
    read: (reader, { version, loose }) => {
      const cookie = reader.u64();
      const priority = reader.u16();
      const reason = readRemovedReason(reader);
      const table = reader.u8();
      const durationSeconds = reader.u32();
      const durationNanoseconds = reader.u32();
      const idleTimeout = reader.u16();
      const hardTimeout = reader.u16();
      const packets = reader.counter();
      const bytes = reader.counter();
      const match = readMatch(reader, version, { loose });
      return {
        type: "flow_removed",
        match,
        cookie,
        priority,
        reason,
        table,
        durationSeconds,
        durationNanoseconds,
        idleTimeout,
        hardTimeout,
        packets,
        bytes,
      };
    },
    write: (writer, message, { version }) => {
      writer.u64(message.cookie).u16(message.priority);
      writer.u8(removedReason(message.reason, version)).u8(message.table);
      writer.u32(message.durationSeconds).u32(message.durationNanoseconds);
      writer.u16(message.idleTimeout).u16(message.hardTimeout);
      writer.u64(message.packets ?? 0n).u64(message.bytes ?? 0n);
      writeMatch(writer, version, message.match);
    },
  }),
  row<"flow_removed">({
    type: "flow_removed",
    ids: ["OFPT 1.5(11)"],
    when: isStandard,
    read: (reader, { version, loose }) => {
      const table = reader.u8();
      const reason = readRemovedReason(reader);
      const priority = reader.u16();
      const idleTimeout = reader.u16();
      const hardTimeout = reader.u16();
      const cookie = reader.u64();
      const match = readMatch(reader, version, { loose });
      const stats = readOxs(reader);
      return {
        type: "flow_removed",
        match,
        cookie,
        priority,
        reason,
        table,
        durationSeconds: stats.durationSeconds ?? 0,
        durationNanoseconds: stats.durationNanoseconds ?? 0,
        idleTimeout,
        hardTimeout,
        packets: stats.packets,
        bytes: stats.bytes,
      };
    },
    write: (writer, message, { version }) => {
      writer.u8(message.table).u8(removedReason(message.reason, version)).u16(message.priority);
      writer.u16(message.idleTimeout).u16(message.hardTimeout).u64(message.cookie);
      writeMatch(writer, version, message.match);
      const { durationSeconds, durationNanoseconds, packets, bytes } = message;
      writeOxs(writer, { durationSeconds, durationNanoseconds, packets, bytes });
    },
  }),
  row<"flow_removed">({
    type: "flow_removed",
    ids: ["NXT 1.0+(14)"],
    when: isNicira,
    read: (reader, { loose }) => {
      const cookie = reader.u64();
      const priority = reader.u16();
      const reason = readRemovedReason(reader);
      // Zero from switches that do not say, else one more than the table.
      const table = (reader.u8() - 1) & 0xff;
      const durationSeconds = reader.u32();
      const durationNanoseconds = reader.u32();
      const idleTimeout = reader.u16();
      const matchLength = reader.u16();
      const packets = reader.counter();
      const bytes = reader.counter();
      const { match } = readNxMatch(reader, matchLength, { loose });
      return {
        type: "flow_removed",
        form: "nicira",
        match,
        cookie,
        priority,
        reason,
        table,
        durationSeconds,
        durationNanoseconds,
        idleTimeout,
        hardTimeout: 0,
        packets,
        bytes,
      };
    },
    write: (writer, message, { version }) => {
      writer.u64(message.cookie).u16(message.priority);
      writer.u8(removedReason(message.reason, version)).u8((message.table + 1) & 0xff);
      writer.u32(message.durationSeconds).u32(message.durationNanoseconds);
      writer.u16(message.idleTimeout);
      const lengthAt = writer.length;
      writer.u16(0).counter(message.packets).counter(message.bytes);
      writer.patch16(lengthAt, writeNxMatch(writer, message.match));
    },
  }),
];
