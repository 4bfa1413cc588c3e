/** What Bridge and Port rows say of multicast snooping, within Open vSwitch's bounds. */
import type { Row } from "../../db/replica.ts";

export interface SnoopingSettings {
  /** Groups that nobody asked for go everywhere. */
  readonly floodsUnregistered: boolean;
  readonly agingMs: number;
  /** Groups. */
  readonly tableSize: number;
}

const DEFAULT_AGING_SEC = 300;
const DEFAULT_TABLE_SIZE = 2048;

type Config = ReadonlyMap<string, string>;

/** Undefined: off. `say`: what is wrong with the settings. */
export function snoopingSettings(
  row: Row<"Bridge">,
  say: (text: string) => void,
): SnoopingSettings | undefined {
  if (!row.mcast_snooping_enable) return undefined;
  const config = row.other_config;
  const number = (key: string, otherwise: number): number => {
    const text = config.get(key);
    if (text === undefined || /^\d{1,9}$/.test(text)) return Number(text ?? otherwise);
    say(`${row.name}: other_config:${key}="${text}" is no number, ${otherwise} is used`);
    return otherwise;
  };
  const aging = number("mcast-snooping-aging-time", DEFAULT_AGING_SEC);
  const size = number("mcast-snooping-table-size", DEFAULT_TABLE_SIZE);
  return {
    floodsUnregistered: !isTrue(config, "mcast-snooping-disable-flood-unregistered"),
    agingMs: Math.min(3600, Math.max(15, aging)) * 1000,
    tableSize: Math.min(1_000_000, Math.max(10, size)),
  };
}

/** All groups, and all reports, go to the port. */
export function floodSettings(
  config: Config,
): { readonly groups: boolean; readonly reports: boolean } {
  return {
    groups: isTrue(config, "mcast-snooping-flood"),
    reports: isTrue(config, "mcast-snooping-flood-reports"),
  };
}

const isTrue = (config: Config, key: string): boolean => config.get(key)?.toLowerCase() === "true";
