/** Meters in ovs-ofctl(8)'s "Meter Syntax". Messages of errors are like Open vSwitch's. */
import { TextError } from "../../packet/text.ts";
import type { MeterBand, MeterMod } from "../messages/types.ts";
import { METER_FLAGS } from "../messages/types.ts";
import { parseU32, parseU8 } from "./scan.ts";

export const METER_ALL = 0xffffffff;
const METER_MAX = 0xffff0000;
const METER_WORDS: ReadonlyMap<string, number> = new Map([
  ["all", METER_ALL],
  ["controller", 0xfffffffe],
  ["slowpath", 0xfffffffd],
]);
const FLAGS: ReadonlyMap<string, number> = new Map([
  ["kbps", METER_FLAGS.KBPS],
  ["pktps", METER_FLAGS.PKTPS],
  ["burst", METER_FLAGS.BURST],
  ["stats", METER_FLAGS.STATS],
]);

/** Words with their values: `name=value`, or a word of `alone` by itself. */
function* wordsOf(text: string, alone: ReadonlyMap<string, number>): Generator<[string, string]> {
  let rest = text;
  for (;;) {
    rest = rest.replace(/^[=, \t\r\n]+/, "");
    if (rest === "") return;
    const name = /^[^=, \t\r\n]+/.exec(rest)![0];
    rest = rest.slice(name.length + 1);
    if (alone.has(name)) {
      yield [name, ""];
      continue;
    }
    rest = rest.replace(/^[, \t\r\n]+/, "");
    const value = /^[^, \t\r\n]+/.exec(rest)?.[0];
    if (value === undefined) throw new TextError(`field ${name} missing value`);
    rest = rest.slice(value.length + 1);
    yield [name, value];
  }
}

/** For anything but add and modify, only the meter is named. Throws `TextError`. */
export function parseMeter(text: string, command: MeterMod["command"]): MeterMod {
  const whole = command !== "delete";
  let head = text;
  let bandText = "";
  if (whole) {
    const at = text.indexOf("band");
    const equals = at < 0 ? -1 : text.indexOf("=", at + 1);
    if (equals < 0) throw new TextError("must specify bands");
    head = text.slice(0, at);
    bandText = text.slice(equals + 1);
  }
  let meter = 0;
  let flags = 0;
  for (const [name, value] of wordsOf(head, whole ? FLAGS : new Map())) {
    const flag = whole ? FLAGS.get(name) : undefined;
    if (flag !== undefined) flags |= flag;
    else if (name === "meter") meter = parseMeterId(value);
    else throw new TextError(`unknown keyword ${name}`);
  }
  if (meter === 0) throw new TextError("must specify 'meter'");
  if (whole && flags === 0) throw new TextError("meter must specify either 'kbps' or 'pktps'");
  const bands = whole ? parseBands(bandText, flags) : [];
  return { type: "meter_mod", command, meter, flags, bands };
}

function parseMeterId(text: string): number {
  const word = METER_WORDS.get(text);
  if (word !== undefined) return word;
  const id = parseU32(text);
  if (id === 0 || id > METER_MAX) throw new TextError("invalid value for meter");
  return id;
}

interface BandDraft {
  type: MeterBand["type"];
  rate: number;
  burst: number;
  level: number;
}

function parseBands(text: string, flags: number): MeterBand[] {
  const bands: BandDraft[] = [];
  for (const [name, value] of wordsOf(text, new Map())) {
    const band = bands.at(-1);
    if (name === "type") {
      if (value !== "drop" && value !== "dscp_remark") {
        throw new TextError(`field ${name} unknown value ${value}`);
      }
      bands.push({ type: value, rate: 0, burst: 0, level: 0 });
    } else if (!band) throw new TextError("band must start with the 'type' keyword");
    else if (name === "rate") band.rate = parseU32(value);
    else if (name === "burst_size") band.burst = parseU32(value);
    else if (name === "prec_level") band.level = parseU8(value, name);
    else throw new TextError(`unknown keyword ${name}`);
  }
  if (bands.length === 0) throw new TextError("meter must have bands");
  return bands.map((band) => checkBand(band, (flags & METER_FLAGS.BURST) !== 0));
}

function checkBand({ type, rate, burst, level }: BandDraft, hasBurst: boolean): MeterBand {
  if (type === "dscp_remark" && level === 0) {
    throw new TextError("'dscp_remark' band must have 'prec_level'");
  }
  if (type === "drop" && level !== 0) {
    throw new TextError("Only 'dscp_remark' band may have 'prec_level'");
  }
  if (rate === 0) throw new TextError("band must have 'rate'");
  if (hasBurst && burst === 0) {
    throw new TextError("band must have 'burst_size' when 'burst' flag is set");
  }
  if (!hasBurst && burst !== 0) {
    throw new TextError("band may have 'burst_size' only when 'burst' flag is set");
  }
  return type === "drop" ? { type, rate, burst } : { type, rate, burst, level };
}
