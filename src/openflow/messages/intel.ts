/** Intel's properties of port statistics: RMON's counters, and counters with names (`intel-ext.h`). */
import { OfError } from "../errors.ts";
import type { Reader, Writer } from "../wire.ts";
import { writeProperty } from "./properties.ts";
import { type PortStats, type Rfc2819, RFC2819_COUNTERS } from "./types.ts";

export const EXPERIMENTER = 0xffff;
const INTEL_VENDOR = 0x0000aa01;
const RFC2819 = 1;
const CUSTOM = 2;
const NAME_BYTES = 64;

export interface IntelCounters {
  rfc2819?: Rfc2819;
  custom?: NonNullable<PortStats["custom"]>;
}

/** What follows an experimenter property's type and length. */
export function readIntelCounters(value: Reader, at: number, loose: boolean): IntelCounters {
  const vendor = value.u32();
  const type = value.u32();
  if (vendor !== INTEL_VENDOR) {
    if (loose) return {};
    throw new OfError("OFPBPC_BAD_EXPERIMENTER", at, `vendor 0x${vendor.toString(16)} is unknown`);
  }
  if (type === RFC2819) {
    value.skip(4);
    const counters = RFC2819_COUNTERS.map((name) => [name, value.counter()] as const);
    return { rfc2819: Object.fromEntries(counters) as unknown as Rfc2819 };
  }
  if (type !== CUSTOM) {
    if (loose) return {};
    throw new OfError("OFPBPC_BAD_EXP_TYPE", at, `Intel has no property ${type}`);
  }
  value.skip(2);
  const count = value.u16();
  const custom: { name: string; value: bigint | undefined }[] = [];
  for (let i = 0; i < count; i++) {
    const name = value.text(value.u8());
    custom.push({ name: name.slice(0, NAME_BYTES - 1), value: value.counter() });
  }
  return { custom };
}

export function writeIntelCounters(writer: Writer, { rfc2819, custom }: PortStats): void {
  if (rfc2819) {
    writeProperty(writer, EXPERIMENTER, (w) => {
      w.u32(INTEL_VENDOR).u32(RFC2819).zeros(4);
      for (const name of RFC2819_COUNTERS) w.counter(rfc2819[name]);
    });
  }
  if (!custom || custom.length === 0) return;
  writeProperty(writer, EXPERIMENTER, (w) => {
    w.u32(INTEL_VENDOR).u32(CUSTOM).zeros(2).u16(custom.length);
    for (const { name, value } of custom) {
      const bytes = new TextEncoder().encode(name).subarray(0, NAME_BYTES - 1);
      w.u8(bytes.length).put(bytes).counter(value);
    }
  });
}
