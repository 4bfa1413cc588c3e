/** What the Port and Interface rows say of a bond and of LACP, checked as Open vSwitch checks it. */
import type { Row } from "../../db/replica.ts";
import { parseMac } from "../../packet/address.ts";
import type { LacpMemberSettings, LacpSettings } from "./lacp.ts";

export type BondMode = "active-backup" | "balance-slb" | "balance-tcp";

export interface BondSettings {
  readonly name: string;
  readonly mode: BondMode;
  readonly updelayMs: number;
  readonly downdelayMs: number;
  /** Mixed into hashes. */
  readonly basis: number;
  /** 0: never. */
  readonly rebalanceMs: number;
  /** balance-slb: multicast is taken from every member. */
  readonly allMembersActive: boolean;
  /** Interface that is active whenever it is up. */
  readonly primary: string | undefined;
  readonly lacpFallback: boolean;
}

type PortRow = Row<"Port">;
type Config = ReadonlyMap<string, string>;

const DEFAULT_REBALANCE_MS = 10_000;
const MIN_REBALANCE_MS = 1000;
const MAX_16 = 0xffff;

/** A leading whole number, as strtoll(3) finds it; `otherwise` where there is none. */
function integer(config: Config, key: string, otherwise: number): number {
  const text = config.get(key);
  if (text === undefined || !/^\s*[-+]?\d{1,15}\s*$/.test(text)) return otherwise;
  return Number(text);
}

export function bondSettings(row: PortRow, say: (text: string) => void): BondSettings {
  const { name, other_config: config } = row;
  const mode = row.bond_mode as BondMode | undefined;
  if (mode === undefined) {
    say(
      `port ${name}: Using the default bond_mode active-backup. Note that in previous versions, ` +
        "the default bond_mode was balance-slb",
    );
  }
  const detect = config.get("bond-detect-mode");
  if (detect !== undefined && detect !== "carrier") {
    say(`port ${name}: unsupported bond-detect-mode ${detect}, defaulting to carrier`);
  }
  if (mode === "balance-tcp" && config.get("lb-output-action") === "true") {
    say(`${name}: Datapath does not support 'lb_output' action, disabled.`);
  }
  const lacpFallback = config.get("lacp-fallback-ab") === "true";
  const rebalance = integer(config, "bond-rebalance-interval", DEFAULT_REBALANCE_MS);
  return {
    name,
    mode: mode ?? "active-backup",
    updelayMs: Math.max(0, row.bond_updelay),
    downdelayMs: Math.max(0, row.bond_downdelay),
    basis: integer(config, "bond-hash-basis", 0) >>> 0,
    rebalanceMs: rebalance <= 0 ? 0 : Math.max(rebalance, MIN_REBALANCE_MS),
    allMembersActive: config.get("all-members-active") === "true",
    primary: lacpFallback || (mode ?? "active-backup") === "active-backup"
      ? config.get("bond-primary")
      : undefined,
    lacpFallback,
  };
}

/** Undefined: the port does not speak LACP. `members`: interfaces that the row has. */
export function lacpSettings(
  row: PortRow,
  members: number,
  bridgeMac: Uint8Array,
  say: (text: string) => void,
): LacpSettings | undefined {
  const { name, other_config: config } = row;
  switch (row.lacp ?? "off") {
    case "active":
    case "passive":
      break;
    default:
      return undefined;
  }
  const configured = config.get("lacp-system-id");
  const systemId = configured === undefined ? Uint8Array.from(bridgeMac) : parseMac(configured);
  if (!systemId) {
    say(`port ${name}: LACP system ID (${configured}) must be an Ethernet address.`);
    return undefined;
  }
  if (systemId.every((byte) => byte === 0)) {
    say(`port ${name}: Invalid zero LACP system ID.`);
    return undefined;
  }
  const priority = integer(config, "lacp-system-priority", 0);
  return {
    name,
    active: row.lacp === "active",
    systemId,
    // A bond is preferred to a single link where nothing is said.
    systemPriority: priority > 0 && priority <= MAX_16 ? priority : MAX_16 - (members > 1 ? 1 : 0),
    fast: config.get("lacp-time")?.toLowerCase() === "fast",
    fallback: config.get("lacp-fallback-ab") === "true",
  };
}

export function lacpMemberSettings(
  name: string,
  ofport: number,
  config: Config,
): LacpMemberSettings {
  const portId = integer(config, "lacp-port-id", 0);
  const priority = integer(config, "lacp-port-priority", 0);
  const key = integer(config, "lacp-aggregation-key", 0);
  return {
    name,
    portId: portId > 0 && portId <= MAX_16 ? portId : ofport & MAX_16,
    portPriority: priority > 0 && priority <= MAX_16 ? priority : MAX_16,
    key: key > 0 && key <= MAX_16 ? key : 0,
  };
}
