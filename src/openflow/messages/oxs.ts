/**
 * OXS: statistics as type-length-value entries (OpenFlow 1.5 §7.2.4.2), padded to eight bytes.
 *
 *     +----------+--------+  then entries:  +----------------+-------+-+--------+---------+
 *     | reserved | length |                 | class 0x8002   | field |0| length | value … |
 *     +----------+--------+                 +----------------+-------+-+--------+---------+
 */
import { OfError } from "../errors.ts";
import type { Reader, Writer } from "../wire.ts";

const CLASS = 0x8002;
const FIELD = { DURATION: 0, IDLE_TIME: 1, FLOW_COUNT: 3, PACKET_COUNT: 4, BYTE_COUNT: 5 } as const;

export interface OxsStats {
  readonly durationSeconds?: number | undefined;
  readonly durationNanoseconds?: number | undefined;
  readonly idleSeconds?: number | undefined;
  readonly flows?: number | undefined;
  readonly packets?: bigint | undefined;
  readonly bytes?: bigint | undefined;
}

export function readOxs(reader: Reader): {
  -readonly [K in keyof OxsStats]-?: OxsStats[K] | undefined;
} {
  const at = reader.offset;
  if (reader.left < 4) reader.fail("statistics end early");
  const length = reader.peek16(2);
  if (length < 4) throw new OfError("OFPBRC_BAD_LEN", at, `statistics of ${length} bytes`);
  const body = reader.subPadded(length, "OFPBRC_BAD_LEN");
  body.skip(4);
  const stats: ReturnType<typeof readOxs> = {
    durationSeconds: undefined,
    durationNanoseconds: undefined,
    idleSeconds: undefined,
    flows: undefined,
    packets: undefined,
    bytes: undefined,
  };
  while (body.left > 0) {
    const oxsClass = body.u16();
    const field = body.u8() >> 1;
    const value = body.sub(body.u8());
    if (oxsClass !== CLASS) continue;
    switch (field) {
      case FIELD.DURATION:
        stats.durationSeconds = value.u32();
        stats.durationNanoseconds = value.u32();
        break;
      case FIELD.IDLE_TIME:
        stats.idleSeconds = value.u32();
        break;
      case FIELD.FLOW_COUNT:
        stats.flows = value.u32();
        break;
      case FIELD.PACKET_COUNT:
        stats.packets = value.u64();
        break;
      case FIELD.BYTE_COUNT:
        stats.bytes = value.u64();
        break;
      default:
        // Statistics that are not kept here.
    }
  }
  return stats;
}

export function writeOxs(writer: Writer, stats: OxsStats): void {
  const open = writer.open(2);
  writer.u16(0).u16(0);
  const entry = (field: number, length: number): Writer =>
    writer.u16(CLASS).u8(field << 1).u8(length);
  if (stats.durationSeconds !== undefined) {
    entry(FIELD.DURATION, 8).u32(stats.durationSeconds).u32(stats.durationNanoseconds ?? 0);
  }
  if (stats.idleSeconds !== undefined) entry(FIELD.IDLE_TIME, 8).u32(stats.idleSeconds).u32(0);
  if (stats.packets !== undefined) entry(FIELD.PACKET_COUNT, 8).u64(stats.packets);
  if (stats.bytes !== undefined) entry(FIELD.BYTE_COUNT, 8).u64(stats.bytes);
  if (stats.flows !== undefined) entry(FIELD.FLOW_COUNT, 4).u32(stats.flows);
  writer.end(open);
  writer.pad8(open.start);
}
