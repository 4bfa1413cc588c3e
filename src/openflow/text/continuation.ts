/**
 * What a packet-in says of how its pipeline goes on (Open vSwitch's NXCPT_* properties), as text. It is
 * opaque to controllers, and what cannot be read is not told.
 */
import { readActions } from "../actions/codec.ts";
import { OfError } from "../errors.ts";
import { readProperties } from "../messages/properties.ts";
import type { OfVersion } from "../version.ts";
import { Reader } from "../wire.ts";
import { formatActions } from "./actions-format.ts";
import type { TextNames } from "./names.ts";

const PROPERTY = {
  BRIDGE: 0x8000,
  STACK: 0x8001,
  MIRRORS: 0x8002,
  CONNTRACKED: 0x8003,
  TABLE: 0x8004,
  COOKIE: 0x8005,
  ACTIONS: 0x8006,
  ACTION_SET: 0x8007,
  DATAPATH_PORT: 0x8008,
} as const;

const hexDigits = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function uuid(bytes: Uint8Array): string {
  const digits = hexDigits(bytes);
  return [0, 8, 12, 16, 20].map((at, i, all) => digits.slice(at, all[i + 1])).join("-");
}

interface Told {
  bridge: string;
  stack: string[];
  mirrors: number;
  conntracked: boolean;
  table: number;
  cookie: bigint;
  actions: string[];
  actionSet: string;
  port: number;
}

function take(
  told: Told,
  type: number,
  value: Reader,
  version: OfVersion,
  names: TextNames | undefined,
): void {
  switch (type) {
    case PROPERTY.BRIDGE:
      value.skip(4);
      told.bridge = uuid(value.rest());
      return;
    case PROPERTY.STACK: {
      const digits = hexDigits(value.rest()).replace(/^0+/, "");
      told.stack.unshift(digits === "" ? "0" : `0x${digits}`);
      return;
    }
    case PROPERTY.MIRRORS:
      told.mirrors = value.u32();
      return;
    case PROPERTY.CONNTRACKED:
      told.conntracked = true;
      return;
    case PROPERTY.TABLE:
      told.table = value.u8();
      return;
    case PROPERTY.COOKIE:
      value.skip(4);
      told.cookie = value.u64();
      return;
    case PROPERTY.ACTIONS: {
      value.skip(4);
      told.actions.push(`unroll_xlate(table=${told.table}, cookie=${told.cookie})`);
      const actions = readActions(value, version);
      if (actions.length > 0) told.actions.push(formatActions(actions, names));
      return;
    }
    case PROPERTY.ACTION_SET:
      value.skip(4);
      told.actionSet = formatActions(readActions(value, version), names);
      return;
    case PROPERTY.DATAPATH_PORT:
      told.port = value.u32();
      return;
    default:
      return;
  }
}

export function formatContinuation(
  bytes: Uint8Array,
  version: OfVersion,
  names?: TextNames,
): string {
  const told: Told = {
    bridge: "",
    stack: [],
    mirrors: 0,
    conntracked: false,
    table: 0,
    cookie: 0n,
    actions: [],
    actionSet: "",
    port: 0,
  };
  try {
    readProperties(
      new Reader(bytes, "OFPBPC_BAD_LEN"),
      (type, value) => take(told, type, value, version, names),
    );
  } catch (error) {
    if (!(error instanceof OfError)) throw error;
    return "";
  }
  const lines: string[] = [];
  if (told.bridge !== "") lines.push(`bridge=${told.bridge}`);
  if (told.stack.length > 0) lines.push(`stack=(top) ${told.stack.join(" ")} (bottom)`);
  if (told.mirrors !== 0) lines.push(`mirrors=0x${told.mirrors.toString(16)}`);
  if (told.conntracked) lines.push("conntracked=true");
  if (told.actions.length > 0) lines.push(`actions=${told.actions.join(",")}`);
  if (told.actionSet !== "") lines.push(`action_set=${told.actionSet}`);
  if (told.port !== 0) lines.push(`odp_port=${told.port}`);
  return lines.map((line) => ` continuation.${line}\n`).join("");
}
