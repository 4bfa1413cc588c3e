/**
 * Commands from the main thread to a worker, as records of the command ring. All 32-bit words:
 *
 *     PUT_FLOW     id, n, m, owned (1: its packets are worker 0's), then n × (key word index, mask, value), then m words of program
 *     DELETE_FLOW  id
 *     EXECUTE      in port, m, frame bytes, recirculation id, k, then m words of program, k words of
 *                  metadata, then the virtio-net header (10 bytes) and the frame
 *     BARRIER      sequence number
 *     REQUEST      length, then JSON: the rare ones (ports, closing), answered by a message
 *     CONTROL      length, then JSON: meters and settings, not answered
 *
 * Only the words of the key that the mask looks at cross over: that is what the flow table keeps.
 */
import { DP_KEY_WORDS, METADATA_WORD, slot } from "../../packet/layout.ts";
import { VNET_BYTES } from "../../packet/frame.ts";
import {
  type FlowKey,
  MASK_WORDS,
  type MaskTopic,
  type Match,
  SharedMask,
} from "../../packet/key.ts";
import type { SharedConnections } from "../conntrack/kernel-maps.ts";
import type { CtAnswer, CtChange, CtQuestion } from "../conntrack/questions.ts";
import type { TunnelKind } from "../actions.ts";
import {
  DatapathError,
  type DeviceIo,
  type DpPortType,
  type Packet,
  type TunnelWire,
} from "../datapath.ts";
import type { DpMeter } from "../meters.ts";
import type { PcapPortOptions } from "../pcap-replay.ts";
import type { TcAttachment } from "../../linux/bpf.ts";
import type { PacketDescriptors } from "../../linux/packet-socket.ts";
import type { SendRingDescriptor } from "../../linux/send-ring.ts";
import type { Punts, TunnelDeviceRequest } from "../punts.ts";
import type { OpenedPort } from "./setup.ts";

export const CMD_PUT_FLOW = 1;
export const CMD_DELETE_FLOW = 2;
export const CMD_EXECUTE = 3;
export const CMD_BARRIER = 4;
export const CMD_REQUEST = 5;
export const CMD_CONTROL = 6;
export const EXECUTE_HEADER_WORDS = 6;

const W_RECIRC = slot("recirc_id").offset >> 2;

/** Where a thread's network namespace stands. */
export const NAMESPACE = "/proc/thread-self/ns/net";

/** A frame longer than this cannot come from a network interface. */
export const MAX_FRAME_BYTES = 65536 + 64;

/** A port to open. */
export interface PortRequest {
  readonly portNo: number;
  readonly name: string;
  readonly portType: DpPortType;
  /** Of a tunnel. */
  readonly tunnel?: {
    readonly kind: TunnelKind;
    readonly wire: TunnelWire;
    /** For a worker that only sends through it. */
    readonly sendOnly?: boolean;
  };
  readonly mac?: readonly number[];
  /** Of a `pcap` port. */
  readonly pcap?: PcapPortOptions;
  /** Receiving sockets that share the device's packets, flow by flow; 1 unless given. */
  readonly queues?: number;
  /** Of a `device`: how its frames are moved; packet sockets unless given. */
  readonly io?: DeviceIo;
  /**
   * A program that takes the port's frames away before this process sees them, to be attached where
   * they come in; it punts what it cannot do (../punts.ts). Absent: this process receives all.
   */
  readonly program?: number;
  /** The program is attached already, by a process that has gone; an internal port is there, too. */
  readonly adopted?: TcAttachment;
  /** By clsact and cls_bpf, also where the kernel has tcx. */
  readonly clsact?: boolean;
  /** An internal port's device is to outlive this process. */
  readonly persistent?: boolean;
  /** Of a tunnel with a program: the device that the kernel is to have for it. */
  readonly device?: TunnelDeviceRequest;
}

/** Rare commands of the forwarding worker. `id` pairs the answer with it. */
export type Request =
  | {
    readonly id: number;
    readonly type: "adoptPort";
    readonly portNo: number;
    readonly name: string;
    readonly opened: OpenedPort;
  }
  | {
    readonly id: number;
    readonly type: "adoptSendRing";
    readonly portNo: number;
    readonly ifindex: number;
    readonly ring: SendRingDescriptor;
  }
  /** `packet` receives in the place of the socket `instead`. */
  | {
    readonly id: number;
    readonly type: "adoptReceiver";
    readonly portNo: number;
    readonly instead: PacketDescriptors;
    readonly packet: PacketDescriptors;
  }
  | { readonly id: number; readonly type: "adoptPunts"; readonly punts: Punts }
  | {
    readonly id: number;
    readonly type: "adoptConnections";
    readonly connections: SharedConnections;
  }
  | { readonly id: number; readonly type: "removePort"; readonly portNo: number }
  | { readonly id: number; readonly type: "conntrack"; readonly ask: CtQuestion }
  | { readonly id: number; readonly type: "close" };

/** Settings of the forwarding worker, in force for all later packets. */
export type Control =
  | { readonly type: "setMeter"; readonly id: number; readonly meter: DpMeter }
  | { readonly type: "deleteMeter"; readonly id: number }
  | { readonly type: "vlanLimit"; readonly limit: 1 | 2 }
  /** A port for `tnl_pop`; `kind` absent: it is no more. */
  | { readonly type: "tunnelPort"; readonly portNo: number; readonly kind?: TunnelKind }
  | { readonly type: "conntrack"; readonly change: CtChange }
  /** Of worker 0: how many workers there are, itself included. */
  | { readonly type: "workers"; readonly count: number }
  /** `cpu` -1: any. `busy`: never sleeps. */
  | { readonly type: "tuning"; readonly cpu: number; readonly busy: boolean };

/** Commands of the setup worker, by `postMessage`. */
export type SetupRequest =
  | { readonly id: number; readonly type: "open"; readonly port: PortRequest }
  | { readonly id: number; readonly type: "openSendRing"; readonly ifindex: number }
  | { readonly id: number; readonly type: "growRing"; readonly packet: PacketDescriptors }
  | {
    readonly id: number;
    readonly type: "release";
    readonly port: OpenedPort;
    /** What forwards in the kernel stays. */
    readonly leave?: boolean;
  };

/** What workers post to the main thread. */
export type WorkerMessage =
  /** Something is in the upcall ring, a barrier was passed, or the command ring has room. */
  | 0
  | { readonly type: "ready" }
  /** Done; `ports` are those that were opened, or that are to be released. */
  | { readonly type: "answer"; readonly id: number; readonly ports: readonly OpenedPort[] }
  /** What a question found. */
  | { readonly type: "result"; readonly id: number; readonly value: CtAnswer }
  | {
    readonly type: "refused";
    readonly id: number;
    readonly code: DatapathError["code"];
    readonly message: string;
  }
  /** A port sends so much that a ring would pay. */
  | { readonly type: "portBusy"; readonly portNo: number; readonly ifindex: number }
  /** A port's ring overflows. */
  | { readonly type: "portCrowded"; readonly portNo: number; readonly packet: PacketDescriptors }
  /** An internal port went to another network namespace: its program is to be detached. */
  | { readonly type: "portMoved"; readonly portNo: number; readonly attachment: TcAttachment }
  | {
    readonly type: "portLost";
    readonly portNo: number;
    readonly reason: string;
    /** To be released. */
    readonly port: OpenedPort;
  }
  | { readonly type: "log"; readonly level: "warn" | "info" | "dbg"; readonly text: string };

/** How a worker reaches worker 0, which does what only one may do. */
export interface OwnerMemory {
  readonly shared: SharedArrayBuffer;
  readonly eventfd: number;
  /** The worker's own number. */
  readonly from: number;
}

/** What a worker is told first: what it is. */
export type WorkerStart =
  | {
    readonly role: "forward";
    readonly shared: SharedArrayBuffer;
    readonly eventfd: number;
    /** Absent for worker 0. */
    readonly owner?: OwnerMemory;
    /** The network namespace that the ports are in. */
    readonly namespace: string;
    readonly namespaceFd: number;
  }
  | {
    readonly role: "setup";
    /** The program that drops for the host's stack, or why there is none. */
    readonly dropProgram: number | string;
    /** The network namespace that the ports are in: its link in /proc, and a descriptor of it. */
    readonly namespace: string;
    readonly namespaceFd: number;
  };

/** The message that tells of an error. */
export function refusal(id: number, error: unknown): WorkerMessage {
  const code = error instanceof DatapathError ? error.code : "system";
  const message = error instanceof Error ? error.message : String(error);
  return { type: "refused", id, code, message };
}

/** Where a command is to be written: in the ring, or in memory of its own until there is room. */
export interface CommandRoom {
  /** The same memory twice. */
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  /** The word at which the command begins. */
  readonly at: number;
}

export const PUT_HEADER_WORDS = 5;

/** The words of the key that the mask looks at; behind the datapath's section is the pipeline's. */
function placesOf(mask: FlowKey): Int32Array {
  return mask instanceof SharedMask ? mask.about(DP_MASK_WORDS) : DP_MASK_WORDS.find(mask);
}

const DP_MASK_WORDS: MaskTopic<Int32Array> = {
  find: (mask) => MASK_WORDS.find(mask).filter((place) => place < DP_KEY_WORDS),
};

/** Words of the PUT_FLOW that `writePutFlow` writes. */
export function putFlowWords({ mask }: Match, program: Int32Array): number {
  return PUT_HEADER_WORDS + 3 * placesOf(mask).length + program.length;
}

/** `match`'s key need not be masked. */
export function writePutFlow(
  { words, at: start }: CommandRoom,
  id: number,
  match: Match,
  program: Int32Array,
  owned: boolean,
): void {
  const mask = match.mask.words;
  const key = match.key.words;
  const places = placesOf(match.mask);
  const n = places.length;
  words[start] = CMD_PUT_FLOW;
  words[start + 1] = id;
  words[start + 2] = n;
  words[start + 3] = program.length;
  words[start + 4] = owned ? 1 : 0;
  let at = start + PUT_HEADER_WORDS;
  for (let k = 0; k < n; k++) {
    const i = places[k]!;
    const bits = mask[i]!;
    words[at++] = i;
    words[at++] = bits;
    words[at++] = key[i]! & bits;
  }
  for (let i = 0; i < program.length; i++) words[at++] = program[i]!;
}

/** Words of the metadata that go with a packet. */
function metadataWords(metadata: FlowKey | undefined): number {
  if (!metadata) return 0;
  const { words } = metadata;
  let end = DP_KEY_WORDS;
  while (end > METADATA_WORD && words[end - 1] === 0) end--;
  return end - METADATA_WORD;
}

/** Words of the EXECUTE that `writeExecute` writes. Throws for a packet that cannot be. */
export function executeWords(
  { data, vnet }: Packet,
  program: Int32Array,
  metadata?: FlowKey,
): number {
  if (data.length > MAX_FRAME_BYTES) {
    throw new DatapathError("not-supported", `a packet of ${data.length} bytes is too long`);
  }
  if (vnet && vnet.length !== VNET_BYTES) {
    throw new DatapathError("not-supported", `a virtio-net header has ${VNET_BYTES} bytes`);
  }
  const frameWords = (VNET_BYTES + data.length + 3) >> 2;
  return EXECUTE_HEADER_WORDS + program.length + metadataWords(metadata) + frameWords;
}

export function writeExecute(
  { words, bytes, at: start }: CommandRoom,
  inPort: number,
  { data, vnet }: Packet,
  program: Int32Array,
  metadata?: FlowKey,
): void {
  const kept = metadataWords(metadata);
  words[start] = CMD_EXECUTE;
  words[start + 1] = inPort;
  words[start + 2] = program.length;
  words[start + 3] = data.length;
  words[start + 4] = metadata ? metadata.words[W_RECIRC]! : 0;
  words[start + 5] = kept;
  let at = start + EXECUTE_HEADER_WORDS;
  for (let i = 0; i < program.length; i++) words[at++] = program[i]!;
  for (let i = 0; i < kept; i++) words[at++] = metadata!.words[METADATA_WORD + i]!;
  const frameAt = at * 4;
  for (let i = 0; i < VNET_BYTES; i++) bytes[frameAt + i] = vnet ? vnet[i]! : 0;
  bytes.set(data, frameAt + VNET_BYTES);
}

export function encodeRequest(request: Request): Int32Array {
  return encodeJson(CMD_REQUEST, request);
}

export function encodeControl(control: Control): Int32Array {
  return encodeJson(CMD_CONTROL, control);
}

function encodeJson(command: number, value: Request | Control): Int32Array {
  const text = new TextEncoder().encode(JSON.stringify(value));
  const words = new Int32Array(2 + ((text.length + 3) >> 2));
  words[0] = command;
  words[1] = text.length;
  new Uint8Array(words.buffer).set(text, 8);
  return words;
}
