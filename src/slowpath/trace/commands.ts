/** `ofproto/trace` and `ofproto/trace-packet-out`, from arguments to text. */
import { parseDpFlow } from "../../fastpath/text/flow-parse.ts";
import { isAll, slotBytes } from "../../fastpath/text/values.ts";
import { checkActions } from "../../openflow/actions/check.ts";
import type { Action } from "../../openflow/actions/types.ts";
import { OfError } from "../../openflow/errors.ts";
import { parseActions } from "../../openflow/text/actions-parse.ts";
import { PORTS } from "../../openflow/version.ts";
import { composePacket } from "../../packet/compose.ts";
import { extract } from "../../packet/extract.ts";
import { Frame } from "../../packet/frame.ts";
import { FlowKey } from "../../packet/key.ts";
import { FIELDS, METADATA_WORD, type SlotName } from "../../packet/layout.ts";
import { TextError } from "../../packet/text.ts";
import type { Backend } from "../bridge/backend.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { toPipelineKey } from "../cache/megaflows.ts";
import { groupsOf } from "../pipeline/action-targets.ts";
import { hasTunnel } from "../tunnels/ports.ts";
import { CommandError, type UnixctlServer } from "../unixctl.ts";
import { parseTraceArguments, type TraceArguments } from "./arguments.ts";
import { parseExactFlow } from "./exact-flow.ts";
import { traceFlow } from "./trace.ts";

export interface TraceContext {
  readonly bridges: () => ReadonlyMap<string, Bridge>;
  readonly backend: () => Backend | undefined;
}

const MANY = 64;

export function registerTrace(server: UnixctlServer, context: TraceContext): void {
  server.register("ofproto/trace", {
    usage: "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]",
    minArguments: 1,
    maxArguments: MANY,
    run: (args) => {
      const parsed = parseTraceArguments(args, "trace");
      return run(context, parsed, undefined);
    },
  });
  server.register("ofproto/trace-packet-out", {
    usage: "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] " +
      "[-generate|packet] actions",
    minArguments: 2,
    maxArguments: MANY,
    run: (args) => {
      const actions = worded(() => parseActions(args.at(-1)!));
      const parsed = parseTraceArguments(args.slice(0, -1), "packet-out");
      return run(context, parsed, actions);
    },
  });
}

/** What the user wrote cannot be read: the command's error. */
function worded<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof TextError) throw new CommandError(error.message);
    throw error;
  }
}

function run(
  context: TraceContext,
  args: TraceArguments,
  actions: readonly Action[] | undefined,
): string {
  const backend = context.backend();
  const { bridge, key } = findFlow(context, backend, args);
  if (!backend) throw new CommandError("Cannot find the datapath");
  let packet: Uint8Array | undefined;
  if (args.generate) {
    const { payload, payloadBytes } = args;
    packet = composePacket(key, { payloadBytes, ...(payload && { payload }) });
  } else if (args.packet) {
    packet = args.packet;
    readPacket(packet, key);
  }
  if (actions) check(bridge, key, actions, args.consistent);
  const { ctStates, names } = args;
  return traceFlow({ backend, bridge, key, packet, actions, ctStates, names });
}

/** The bridge and the packet's key: of a datapath flow, or else of an OpenFlow flow. */
function findFlow(
  context: TraceContext,
  backend: Backend | undefined,
  { where, flow }: TraceArguments,
): { bridge: Bridge; key: FlowKey } {
  const known = backend !== undefined &&
    (where === undefined || where.replace(/^ovs-/, "") === backend.datapath.type);
  let dpKey: FlowKey;
  try {
    dpKey = parseDpFlow(flow, (name) => {
      if (!known) return undefined;
      for (const port of backend.datapath.ports().values()) {
        if (port.name === name) return port.portNo;
      }
      return undefined;
    }).key;
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    if (where === undefined) {
      throw new CommandError(`${error.message} (or the bridge name was omitted)`);
    }
    const bridge = context.bridges().get(where);
    if (!bridge) throw new CommandError(`${where}: unknown bridge`);
    const numberOf = (name: string): number | undefined => bridge.portByName(name)?.ofport;
    const names = { nameOf: () => undefined, numberOf };
    try {
      return { bridge, key: parseExactFlow(flow, names) };
    } catch (wrong) {
      if (!(wrong instanceof TextError)) throw wrong;
      throw new CommandError(`Bad openflow flow syntax: ${wrong.message}`);
    }
  }
  if (!known) throw new CommandError("Cannot find the datapath");
  return fromDatapath(context, backend, dpKey);
}

/** Where a packet that the datapath hands up comes from. */
function fromDatapath(
  context: TraceContext,
  backend: Backend,
  dpKey: FlowKey,
): { bridge: Bridge; key: FlowKey } {
  const recircId = dpKey.get(FIELDS.recirc_id);
  const dpPort = dpKey.get(FIELDS.in_port);
  const frozen = recircId === 0 ? undefined : backend.cache.frozen(recircId);
  if (recircId !== 0 && !frozen) {
    throw new CommandError(`no recirculation data for recirc_id 0x${recircId.toString(16)}`);
  }
  const port = backend.portOf(dpPort, dpKey);
  const at = frozen ? frozen.bridge : port?.bridge;
  const bridge = [...context.bridges().values()].find((each) => each === at);
  if (!bridge && hasTunnel(dpKey)) {
    throw new CommandError("no OpenFlow tunnel port for this packet");
  }
  if (!bridge) throw new CommandError(`no OpenFlow port for datapath port ${dpPort}`);
  const ofport = frozen ? frozen.state.get(FIELDS.in_port) : port!.ofport;
  const key = new FlowKey();
  toPipelineKey(dpKey, ofport, key);
  if (backend.vlanLimit === 1) hideSecondTag(key);
  return { bridge, key };
}

/** With `other_config:vlan-limit=1`, a second tag is only an Ethernet type that nobody looks behind. */
function hideSecondTag(key: FlowKey): void {
  const second = slotBytes(key.bytes, "vlan2_tpid").slice();
  if (isAll(second, 0)) return;
  const kept = FIRST_TAG.map((name) => slotBytes(key.bytes, name).slice());
  key.words.fill(0, 0, METADATA_WORD);
  FIRST_TAG.forEach((name, i) => slotBytes(key.bytes, name).set(kept[i]!));
  slotBytes(key.bytes, "eth_type").set(second);
}

/** Puts what the packet says into the key, whose metadata stays. */
function readPacket(packet: Uint8Array, key: FlowKey): void {
  const frame = new Frame();
  frame.set(packet, 0, packet.length, false, 0);
  extract(frame, 0, 0, 0);
  const inPort = key.get(FIELDS.in_port);
  const recircId = key.getBig(FIELDS.recirc_id);
  key.words.set(frame.key.words.subarray(0, METADATA_WORD));
  key.set(FIELDS.in_port, inPort);
  key.setBig(FIELDS.recirc_id, recircId);
}

/** Would a packet-out with these actions be taken? */
function check(
  bridge: Bridge,
  key: FlowKey,
  actions: readonly Action[],
  consistent: boolean,
): void {
  const inPort = key.get(FIELDS.in_port);
  if (inPort >= MAX_PORTS && inPort < PORTS.MAX) throw new CommandError("invalid in_port");
  const mask = new FlowKey();
  mask.words.fill(0xffffffff);
  try {
    checkActions(actions, { key, mask }, { table: 0, lenient: !consistent, maxPorts: MAX_PORTS });
    for (const group of groupsOf(actions)) {
      if (!bridge.tables.groups.get(group)) {
        throw new OfError("OFPBAC_BAD_OUT_GROUP", 0, `there is no group ${group}`);
      }
    }
  } catch (error) {
    if (!(error instanceof OfError)) throw error;
    throw new CommandError(`Bad actions: ${error.error}`);
  }
}

/** What is in front of a second tag. */
const FIRST_TAG: readonly SlotName[] = [
  "in_port",
  "recirc_id",
  "eth_dst",
  "eth_src",
  "vlan_tci",
  "vlan_tpid",
];

/** Ports are numbered below. */
const MAX_PORTS = 0xff00;
