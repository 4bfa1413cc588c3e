/** Matches on tunnel options, `tun_metadata3=0xab/0xff`, both ways. */
import type { Match } from "../../packet/key.ts";
import type { Field } from "../../packet/layout.ts";
import { integer, TextError } from "../../packet/text.ts";
import { setMatchField } from "../match-set.ts";
import {
  hasTunnelOption,
  LearnedTunnelFields,
  setTunnelOption,
  tunnelIndex,
  tunnelOptions,
} from "../tunnel-fields.ts";
import type { TextNames } from "./names.ts";

/** `name=VALUE[/MASK]` of each; the name alone where only its presence is asked for. */
export function formatTunnelOptions({ key, mask }: Match, names?: TextNames): string[] {
  return tunnelOptions(mask).flatMap((index) => {
    const field = names?.tunnelFields?.resolve(index);
    if (!field) return [];
    const name = `tun_metadata${index}`;
    if (!hasTunnelOption(key, index)) return [`${name}=NP`];
    const bits = mask.getBig(field);
    if (bits === 0n) return [name];
    const number = key.getBig(field);
    const value = `${name}=${number === 0n ? "0" : `0x${number.toString(16)}`}`;
    const all = (1n << BigInt(field.bits)) - 1n;
    return [bits === all ? value : `${value}/0x${bits.toString(16)}`];
  });
}

const bytesOf = (value: bigint): number => Math.max(1, Math.ceil(value.toString(16).length / 2));

/** Where nothing is known of the options, a field is as long as its value. */
export function parseTunnelOption(
  match: Match,
  field: Field,
  text: string,
  names?: TextNames,
): void {
  const index = tunnelIndex(field);
  const [valueText = "", maskText, ...rest] = text === "" ? ["0", "0"] : text.split("/");
  const value = integer(valueText);
  const mask = maskText === undefined ? undefined : integer(maskText);
  if (value === undefined || rest.length > 0 || (maskText !== undefined && mask === undefined)) {
    throw new TextError(`${text}: bad syntax for ${field.name} value`);
  }
  const bytes = bytesOf(value | (mask ?? 0n));
  if (bytes > field.bytes) {
    throw new TextError(`${text}: value too large for ${field.bytes}-byte field ${field.name}`);
  }
  const places = names?.tunnelFields ?? new LearnedTunnelFields();
  const placed = places.resolve(index, bytes);
  if (!placed) throw new TextError(`${field.name} stands for no option that is so long`);
  setTunnelOption(match.mask, index);
  if (mask !== undefined) places.sayMask?.(match.mask, index);
  setTunnelOption(match.key, index);
  setMatchField(match, placed, value, mask ?? (1n << BigInt(placed.bits)) - 1n);
}
