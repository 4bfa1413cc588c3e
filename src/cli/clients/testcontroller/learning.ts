/**
 * What a learning switch or a hub does with a packet: where it goes, and which flow makes the
 * switch send its like there without asking. Pure: bytes in, messages out.
 */
import type { Action } from "../../../openflow/actions/types.ts";
import { FIELDS } from "../../../packet/layout.ts";
import { extract } from "../../../packet/extract.ts";
import { Frame } from "../../../packet/frame.ts";
import { anyMatch, type FlowKey, type Match } from "../../../packet/key.ts";
import { setMatchExact } from "../../../openflow/match-set.ts";
import { readMatch10, writeMatch10 } from "../../../openflow/match.ts";
import type { FlowMod, OfMessage, PacketIn } from "../../../openflow/messages/types.ts";
import { matchOfKey } from "../../../openflow/text/packet.ts";
import { GROUP_ANY, PORTS, TABLE_ALL } from "../../../openflow/version.ts";
import { Reader, Writer } from "../../../openflow/wire.ts";

const MOST_ADDRESSES = 2048;
const ADDRESS_AGE_MS = 300_000;
/** Above that of the flow that asks the controller about everything else. */
const PRIORITY = 1;
/** Of OpenFlow 1.0's wildcards: all but the port, the addresses and the VLAN. */
const MOST_WILDCARDS = 0x3ffff0 & ~(1 << 21) | (1 << 21) | (1 << 20);
const ALL_WILDCARDS = 0xffffffff;

export interface LearningOptions {
  readonly learns: boolean;
  readonly setsUpFlows: boolean;
  readonly normal: boolean;
  readonly wildcards: number;
  readonly idleSeconds: number;
  /** For packets that come in by that port. */
  queueOf(inPort: number): number | undefined;
}

interface Learned {
  port: number;
  seenMs: number;
}

/** Whether bridges keep frames to this address to themselves (IEEE 802.1D §7.12.6). */
const isReserved = (address: bigint): boolean => address >> 4n === 0x0180c200000n;
const isMulticast = (address: bigint): boolean => ((address >> 40n) & 1n) === 1n;

export class Learning {
  private readonly addresses = new Map<bigint, Learned>();
  private readonly frame = new Frame();

  constructor(
    private readonly options: LearningOptions,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** What to send back for a packet-in. */
  answer(packetIn: PacketIn): OfMessage[] {
    // Packets that an action sent here are somebody else's.
    if (packetIn.reason !== "no_match") return [];
    const { packet, metadata, bufferId } = packetIn;
    const inPort = metadata.key.get(FIELDS.in_port_oxm);
    this.frame.set(packet, 0, packet.length, false, 0);
    extract(this.frame, 0, 0, 0);
    const { key } = this.frame;
    key.set(FIELDS.in_port_oxm, inPort);
    const outPort = this.destination(key, inPort);
    const actions = this.actionsTo(outPort, inPort);
    const out: OfMessage = {
      type: "packet_out",
      ...(bufferId === undefined ? {} : { bufferId }),
      inPort,
      metadata: inPortMatch(inPort),
      actions,
      packet: bufferId === undefined ? packet : new Uint8Array(0),
    };
    const { learns, setsUpFlows } = this.options;
    if (setsUpFlows && (!learns || outPort !== PORTS.FLOOD)) {
      const flow = this.flow(key, actions, bufferId);
      // A packet that the switch holds goes through the new flow by itself.
      return bufferId === undefined && outPort !== PORTS.NONE ? [flow, out] : [flow];
    }
    return bufferId !== undefined || outPort !== PORTS.NONE ? [out] : [];
  }

  private destination(key: FlowKey, inPort: number): number {
    const source = key.getBig(FIELDS.eth_src);
    const target = key.getBig(FIELDS.eth_dst);
    const { learns, normal } = this.options;
    if (learns && !isMulticast(source)) this.learn(source, inPort);
    if (isReserved(target)) return PORTS.NONE;
    const known = learns ? this.addresses.get(target) : undefined;
    const fresh = known && this.now() - known.seenMs < ADDRESS_AGE_MS ? known.port : undefined;
    if (fresh === inPort) return PORTS.NONE;
    if (fresh === undefined) return PORTS.FLOOD;
    return normal ? PORTS.NORMAL : fresh;
  }

  private learn(address: bigint, port: number): void {
    // Taken out and put in again, so that the first in the map is the one that was seen least lately.
    this.addresses.delete(address);
    if (this.addresses.size >= MOST_ADDRESSES) {
      const [oldest] = this.addresses.keys();
      if (oldest !== undefined) this.addresses.delete(oldest);
    }
    this.addresses.set(address, { port, seenMs: this.now() });
  }

  private actionsTo(port: number, inPort: number): Action[] {
    if (port === PORTS.NONE) return [];
    const queue = this.options.queueOf(inPort);
    return queue === undefined || port >= PORTS.MAX
      ? [{ type: "output", port, maxLength: 0 }]
      : [{ type: "enqueue", port, queue }];
  }

  private flow(key: FlowKey, actions: Action[], bufferId: number | undefined): FlowMod {
    return {
      ...newFlow(actions, PRIORITY),
      match: this.matchOf(key),
      idleTimeout: this.options.idleSeconds,
      ...(bufferId === undefined ? {} : { bufferId }),
    };
  }

  /** Everything that the packet shows, but for what the wildcards leave out. */
  private matchOf(key: FlowKey): Match {
    const whole = matchOfKey(key);
    const { wildcards } = this.options;
    if (wildcards === 0) return whole;
    const writer = new Writer();
    writeMatch10(writer, whole);
    const bytes = writer.finish();
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const more = wildcards === ALL_WILDCARDS ? MOST_WILDCARDS : wildcards;
    view.setUint32(0, view.getUint32(0) | more);
    return readMatch10(new Reader(bytes, "OFPBMC_BAD_LEN"));
  }
}

function inPortMatch(inPort: number): Match {
  const match = anyMatch();
  setMatchExact(match, FIELDS.in_port_oxm, inPort);
  return match;
}

/** An add with nothing special about it. */
export const newFlow = (actions: readonly Action[], priority: number): FlowMod => ({
  type: "flow_mod",
  command: "add",
  table: TABLE_ALL,
  match: anyMatch(),
  priority,
  cookie: 0n,
  cookieMask: 0n,
  newCookie: 0n,
  modifyCookie: false,
  idleTimeout: 0,
  hardTimeout: 0,
  importance: 0,
  flags: 0,
  outPort: PORTS.ANY,
  outGroup: GROUP_ANY,
  actions,
});
