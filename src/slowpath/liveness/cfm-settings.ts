/** What an Interface row says of CFM (`cfm_mpid`, `other_config:cfm_*`), as Open vSwitch takes it. */
import type { Row } from "../../db/replica.ts";

export interface CfmSettings {
  /** 1 to 8191; in extended mode any number but 0. */
  readonly mpid: number;
  /** A multicast address of its own, MPIDs of 64 bits, any interval, operational states. */
  readonly extended: boolean;
  /** As the messages say it: 1 to 7, see INTERVALS_MS; 0: `intervalMs` says it (extended mode). */
  readonly interval: number;
  readonly intervalMs: number;
  /** Packets that come in say as much as messages do (extended mode). */
  readonly demand: boolean;
  /** Messages of a tunnel must have key 0. */
  readonly checkTunnelKey: boolean;
  /** VLAN of the messages; 0: no tag unless there is a priority, "random": another each time. */
  readonly vlan: number | "random";
  readonly priority: number;
  /** What is told of this end: it is in operation. */
  readonly up: boolean;
}

/** By the number in the message (IEEE 802.1ag-2007 §21.6.1.3); 0 is not a number of the standard. */
export const INTERVALS_MS = [0, 3, 10, 100, 1000, 10_000, 60_000, 600_000] as const;

const DEFAULT_INTERVAL_MS = 1000;
const MAX_MPID = 8191;
const MAX_16 = 0xffff;

/** Undefined: no CFM. `say`: what is wrong with the settings. */
export function cfmSettings(
  row: Row<"Interface">,
  say: (text: string) => void,
): CfmSettings | undefined {
  const { cfm_mpid: mpid, other_config: config, options } = row;
  if (mpid === undefined) return undefined;
  const extended = config.get("cfm_extended")?.toLowerCase() === "true";
  if (mpid < 1 || (!extended && mpid > MAX_MPID)) {
    say(`${row.name}: cfm_mpid ${mpid} is not a number from 1 to ${MAX_MPID}: CFM is off`);
    return undefined;
  }
  /** 0 unless it says something. */
  const integer = (key: string): number => {
    const text = config.get(key);
    if (text === undefined || isInteger(text)) return Number(text ?? 0);
    say(`${row.name}: other_config:${key}="${text}" is no number and is ignored`);
    return 0;
  };
  const wanted = integer("cfm_interval");
  const wantedMs = wanted > 0 ? wanted : DEFAULT_INTERVAL_MS;
  const interval = intervalOf(wantedMs);
  const exact = INTERVALS_MS[interval] === wantedMs;
  const vlan = config.get("cfm_ccm_vlan")?.toLowerCase();
  return {
    mpid,
    extended,
    interval: extended && !exact ? 0 : interval,
    intervalMs: extended && !exact ? Math.min(wantedMs, MAX_16) : INTERVALS_MS[interval]!,
    demand: extended && config.get("cfm_demand")?.toLowerCase() === "true",
    checkTunnelKey: options.get("key") === "flow" || options.get("in_key") === "flow",
    vlan: vlan === "random" ? vlan : integer("cfm_ccm_vlan") & 0xfff,
    priority: integer("cfm_ccm_pcp") & 7,
    up: (config.get("cfm_opstate") ?? "up").toLowerCase() === "up",
  };
}

/** The longest interval of the standard that is no longer. */
function intervalOf(ms: number): number {
  for (let i = INTERVALS_MS.length - 1; i > 0; i--) if (INTERVALS_MS[i]! <= ms) return i;
  return 1;
}

const isInteger = (text: string): boolean => /^\s*-?\d{1,15}\s*$/.test(text);
