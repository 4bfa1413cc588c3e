/**
 * The arguments of `ofproto/trace` and `ofproto/trace-packet-out` (ovs-vswitchd(8)):
 *
 *     [OPTIONS] [DATAPATH] DP-FLOW [PACKET]
 *     [OPTIONS] BRIDGE FLOW [PACKET]
 *
 * A last argument in hexadecimal is the packet, unless one is to be made up (`--generate`).
 */
import { CT_STATES, formatFlags } from "../../packet/text.ts";
import { CommandError } from "../unixctl.ts";

export interface TraceArguments {
  /** A datapath, a bridge, or undefined. */
  readonly where: string | undefined;
  readonly flow: string;
  readonly packet: Uint8Array | undefined;
  readonly generate: boolean;
  readonly names: boolean;
  /** Only what OpenFlow allows with the flow: of packet-outs. */
  readonly consistent: boolean;
  /** Conntrack states that packets come back with, the first one first. */
  readonly ctStates: readonly number[];
  readonly payload: Uint8Array | undefined;
  readonly payloadBytes: number;
}

export type TraceKindOfCommand = "trace" | "packet-out";

const MAX_PAYLOAD_BYTES = 64000;
const ETH_BYTES = 14;
const CS = { NEW: 0x01, EST: 0x02, RPL: 0x08, INV: 0x10, TRK: 0x20 };
const ALL_CT_STATES = 0xffn;

/** Throws CommandError with Open vSwitch's words. */
export function parseTraceArguments(
  args: readonly string[],
  command: TraceKindOfCommand,
): TraceArguments {
  const rest: string[] = [];
  const ctStates: number[] = [];
  let [generate, names, consistent] = [false, false, false];
  let payload: Uint8Array | undefined;
  let payloadBytes = 64;
  const queue = [...args];
  const operand = (option: string): string => {
    const value = queue.shift();
    if (value === undefined) throw new CommandError(`Missing argument for option ${option}`);
    return value;
  };
  for (let arg = queue.shift(); arg !== undefined; arg = queue.shift()) {
    switch (arg) {
      case "-generate":
      case "--generate":
        generate = true;
        continue;
      case "--l7": {
        payload = hexBytes(operand(arg));
        if (!payload) throw new CommandError("Trailing garbage in packet data");
        continue;
      }
      case "--l7-len": {
        const text = operand(arg);
        payload = undefined;
        payloadBytes = Number.parseInt(text, 10) || 0;
        if (payloadBytes < 0 || payloadBytes > MAX_PAYLOAD_BYTES) {
          throw new CommandError(`${text}: too much L7 data`);
        }
        continue;
      }
      case "--ct-next":
        ctStates.push(parseCtState(operand(arg)));
        continue;
      case "-names":
      case "--names":
        names = true;
        continue;
      case "-consistent":
      case "--consistent":
        if (command === "packet-out") {
          consistent = true;
          continue;
        }
    }
    if (arg.startsWith("-")) throw new CommandError(`${arg}: unknown option`);
    if (rest.length >= 3) throw new CommandError("too many arguments");
    rest.push(arg);
  }
  let packet: Uint8Array | undefined;
  if (!generate && rest.length > 1) {
    const bytes = hexBytes(rest.at(-1)!);
    if (bytes && bytes.length >= ETH_BYTES) {
      packet = bytes;
      rest.pop();
    } else if (rest.length > 2) {
      throw new CommandError(
        bytes ? "Packet data too short for Ethernet" : "Trailing garbage in packet data",
      );
    }
  }
  const flow = rest.pop();
  if (flow === undefined || rest.length > 1) throw new CommandError("Syntax error");
  const common = { generate, names, consistent, ctStates, payload, payloadBytes };
  return { where: rest[0], flow, packet, ...common };
}

/** Bytes in hex with blanks between them; undefined if anything else is there. */
function hexBytes(text: string): Uint8Array | undefined {
  const digits = text.replace(/[\s]/g, "");
  if (digits === "" || digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) return undefined;
  return Uint8Array.fromHex(digits);
}

/** `trk,est`: bits of ct_state that go together. */
function parseCtState(text: string): number {
  let state = 0;
  for (const word of text.split(/[ ,]+/).filter((part) => part !== "")) {
    const bit = CT_STATES.indexOf(word);
    if (bit < 0) throw new CommandError(`${word}: unknown connection tracking state flag`);
    state |= 1 << bit;
  }
  const wrong = invalidCtState(state);
  if (wrong !== "") throw new CommandError(wrong);
  return state;
}

/** Why no packet has such a state (ovs-fields(7), "Connection Tracking Fields"). */
function invalidCtState(state: number): string {
  const name = formatFlags(BigInt(state), ALL_CT_STATES, ALL_CT_STATES, CT_STATES);
  const reasons: string[] = [];
  if (state && !(state & CS.TRK)) reasons.push('If "trk" is unset, no other flags are set');
  if (state & CS.INV && state & ~(CS.TRK | CS.INV)) {
    reasons.push('when "inv" is set, only "trk" may also be set');
  }
  if (state & CS.NEW && state & CS.EST) reasons.push('"new" and "est" are mutually exclusive');
  if (state & CS.NEW && state & CS.RPL) reasons.push('"new" and "rpy" are mutually exclusive');
  return reasons.map((reason) => `${name}: invalid connection state: ${reason}\n`).join("");
}
