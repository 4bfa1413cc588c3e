/**
 * OpenFlow flows, as JSON and as `ovs-ofctl` text, and what else can be seen of the running switch:
 * MAC tables, connections of controllers, datapath flows, counters, log levels.
 */
import { z } from "zod";
import { ifMatchHeader, refuseUnlessMatch, tagOf } from "../entity-tag.ts";
import { HttpProblem } from "../problem.ts";
import { command } from "./commands.ts";
import { collection, isWhole, linesQuery, pagedLines } from "./collection.ts";
import { type Call, operation, type Output, queryFlag, queryInteger } from "./route.ts";
import { acceptHeader, bridgeOf, operated, TEXT, wantsText } from "./running.ts";

const tag = "Flows";
const MOST_FLOWS = 5000;
export const flowSchema = z.object({
  table: z.number().int(),
  priority: z.number().int(),
  cookie: z.string(),
  match: z.string().describe("As ovs-ofctl writes it; empty: matches everything."),
  actions: z.string(),
  idleTimeout: z.number().int(),
  hardTimeout: z.number().int(),
  importance: z.number().int(),
  flags: z.array(z.string()),
  durationSeconds: z.number().int(),
  idleAgeSeconds: z.number().int(),
  packets: z.number().nullable(),
  bytes: z.number().nullable(),
});
export const flowsSchema = z.object({
  flows: z.array(flowSchema),
  total: z.number().int(),
  offset: z.number().int(),
});

const filter = z.string().max(4000)
  .describe("As `ovs-ofctl dump-flows` takes it: `table=0,tcp`, `cookie=0x1/-1`, `out_port=2`.");

const headers = ifMatchHeader("the bridge's flows");
/** Of all flows of a bridge: one that timed out or was learned is a change too. */
const flowsTag = (call: Pick<Call, "source" | "params">): string =>
  tagOf(call.source.vswitch.operate.flowsRevision(bridgeOf(call)));
const ifUnchanged = (call: Pick<Call, "source" | "params" | "header">): void =>
  refuseUnlessMatch(call.header("if-match"), () => flowsTag(call), "The flows");

const SORTABLE = ["priority", "packets", "bytes", "durationSeconds", "table"] as const;

export const listFlows = operation({
  tag,
  summary: "Flows of a bridge",
  description: "The ETag is that of all flows of the bridge, whatever the filter.",
  headers: acceptHeader,
  query: z.strictObject({
    filter: filter.default(""),
    sort: z.enum([...SORTABLE, ...SORTABLE.map((name) => `-${name}` as const)]).optional(),
    limit: queryInteger(1, 10_000).default(1000),
    offset: queryInteger(0, 1e9).default(0),
  }),
  response: flowsSchema,
  alsoAnswers: TEXT,
  async handle(call): Promise<Output> {
    const name = bridgeOf(call);
    const { operate } = call.source.vswitch;
    const { filter, sort, limit, offset } = call.query;
    if (wantsText(call)) return { text: await operated(() => operate.flowsText(name, filter)) };
    // Before the flows are read: a tag of later ones would let a change of these pass.
    const etag = flowsTag(call);
    const flows = [...await operated(() => operate.flows(name, filter))];
    if (sort !== undefined) {
      const down = sort.startsWith("-");
      const key = (down ? sort.slice(1) : sort) as (typeof SORTABLE)[number];
      flows.sort((a, b) => ((a[key] ?? 0) - (b[key] ?? 0)) * (down ? -1 : 1));
    }
    return {
      json: { flows: flows.slice(offset, offset + limit), total: flows.length, offset },
      headers: { etag },
    };
  },
});

const u16 = z.number().int().min(0).max(0xffff);
const cookie = z.string().regex(/^(0x[0-9a-f]{1,16}|\d{1,20})$/i, "0x… or a number, as text");
/** Nothing that would end the part of the flow that it stands in. */
const matchValue = z.union([
  z.string().regex(/^[^,=\s]{1,200}$/),
  z.number().int(),
  z.literal(true),
]);

const jsonFlow = z.strictObject({
  table: z.number().int().min(0).max(253).optional(),
  priority: u16.optional(),
  cookie: cookie.optional(),
  match: z.union([
    z.string().max(4000).refine((text) => !text.includes("action"), "actions do not belong here"),
    z.record(z.string().regex(/^[A-Za-z0-9_.[\]]{1,64}$/), matchValue),
  ]).default("").describe(
    "ovs-ofctl's text, or an object: field → value, true for a word like tcp.",
  ),
  actions: z.string().min(1).max(20_000).describe("As ovs-ofctl takes them: `output:2`, `drop`."),
  idleTimeout: u16.optional(),
  hardTimeout: u16.optional(),
  importance: u16.optional(),
  flags: z.array(z.enum([
    "send_flow_rem",
    "check_overlap",
    "reset_counts",
    "no_packet_counts",
    "no_byte_counts",
  ])).optional(),
});
type JsonFlow = z.infer<typeof jsonFlow>;

const flowsBody = z.union([
  z.strictObject({ text: z.string() }),
  z.strictObject({ flows: z.array(jsonFlow).min(1).max(MOST_FLOWS) }),
  jsonFlow,
]);

function textOf(flow: JsonFlow): string {
  const { match } = flow;
  const parts = [
    ...(flow.flags ?? []),
    ...Object.entries({
      table: flow.table,
      priority: flow.priority,
      cookie: flow.cookie,
      idle_timeout: flow.idleTimeout,
      hard_timeout: flow.hardTimeout,
      importance: flow.importance,
    }).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
    ...(typeof match === "string"
      ? match.trim() === "" ? [] : [match]
      : Object.entries(match).map(([name, value]) => (value === true ? name : `${name}=${value}`))),
  ];
  return [...parts, `actions=${flow.actions}`].join(",");
}

function textsOf(body: z.infer<typeof flowsBody>): string[] {
  if (!("text" in body)) return ("flows" in body ? body.flows : [body]).map(textOf);
  const lines = body.text.split("\n").map((line) => line.replace(/#.*$/, "").trim())
    .filter((line) => line !== "");
  if (lines.length === 0) throw new HttpProblem(400, "There is no flow in the body.");
  if (lines.length > MOST_FLOWS) {
    throw new HttpProblem(413, `At most ${MOST_FLOWS} flows at a time.`);
  }
  return lines;
}

export const flowCountSchema = z.object({
  flows: z.number().int().describe("How many flows the bridge has now."),
});

const TAKES = "ovs-ofctl's text, a flow a line; `#` begins a comment.";

export const addFlows = operation({
  tag,
  summary: "Add flows, all or none",
  description:
    'A flow as JSON, `{"flows": […]}`, or ovs-ofctl\'s text. One of the same match, priority and ' +
    "table is replaced. The answer comes when they are in force.",
  headers,
  body: flowsBody,
  bodyText: TAKES,
  maxBodyBytes: 1 << 20,
  status: 201,
  response: flowCountSchema,
  async handle(call) {
    const name = bridgeOf(call);
    ifUnchanged(call);
    const texts = textsOf(call.body);
    const flows = await operated(() => call.source.vswitch.operate.changeFlows(name, "add", texts));
    return { json: { flows }, audit: said("added", texts, name) };
  },
});

const said = (verb: string, texts: readonly string[], bridge: string): string =>
  `${verb} ${texts.length} flow(s) on ${bridge}: ${texts[0] ?? ""}`;

export const checkedFlowSchema = z.object({
  table: z.number().int(),
  priority: z.number().int(),
  match: z.string(),
  actions: z.string(),
});

export const checkFlow = operation({
  tag,
  summary: "Whether a flow could be added; nothing is changed",
  description: "Answers with the flow as the switch understands it, or with what is wrong.",
  body: flowsBody,
  bodyText: "One flow, as ovs-ofctl takes it.",
  response: checkedFlowSchema,
  async handle(call) {
    const name = bridgeOf(call);
    const [text = "", ...more] = textsOf(call.body);
    if (more.length > 0) throw new HttpProblem(400, "Give one flow at a time.");
    return { json: await operated(() => call.source.vswitch.operate.checkFlow(name, text)) };
  },
});

const strict = queryFlag.default(false)
  .describe("Only flows of exactly this match and priority; else all that the match covers.");

export const changeFlows = operation({
  tag,
  summary: "Give flows other actions, as mod-flows does",
  headers,
  query: z.strictObject({ strict }),
  body: flowsBody,
  bodyText: TAKES,
  maxBodyBytes: 1 << 20,
  response: flowCountSchema,
  async handle(call) {
    const name = bridgeOf(call);
    ifUnchanged(call);
    const texts = textsOf(call.body);
    const command = call.query.strict ? "modify_strict" : "modify";
    const flows = await operated(() =>
      call.source.vswitch.operate.changeFlows(name, command, texts)
    );
    return { json: { flows }, audit: said("changed", texts, name) };
  },
});

export const removeFlows = operation({
  tag,
  summary: "Remove flows, as del-flows does",
  headers,
  query: z.strictObject({
    filter: filter.optional(),
    strict,
    all: queryFlag.default(false).describe("Must be said to remove all flows."),
  }),
  response: flowCountSchema,
  async handle(call) {
    const name = bridgeOf(call);
    const { filter = "", strict, all } = call.query;
    if ((filter.trim() === "") !== all) {
      throw new HttpProblem(400, "Say which flows with filter=…, or all=true for all of them.");
    }
    ifUnchanged(call);
    const flows = await operated(() =>
      call.source.vswitch.operate.changeFlows(name, strict ? "delete_strict" : "delete", [filter])
    );
    return { json: { flows }, audit: said("removed", [filter], name) };
  },
});

export const macsSchema = z.object({
  macs: z.array(z.object({
    mac: z.string(),
    vlan: z.number().int(),
    port: z.number().int().nullable(),
    portName: z.string().nullable(),
    ageSeconds: z.number().int().nullable(),
    addresses: z.array(z.string()).describe("IP addresses that the host was heard to have."),
  })),
});

export const listMacs = collection("macs", {
  tag: "Switch",
  summary: "MAC addresses that a bridge has learned",
  headers: acceptHeader,
  response: macsSchema,
  alsoAnswers: TEXT,
  handle(call): Output {
    const { operate } = call.source.vswitch;
    const name = bridgeOf(call);
    return wantsText(call)
      ? { text: operate.macsText(name) }
      : { json: { macs: operate.macs(name) } };
  },
});

export const connectionsSchema = z.object({
  connections: z.array(z.object({
    peer: z.string(),
    kind: z.string(),
    version: z.string(),
    role: z.string(),
    packetInsDropped: z.number().int(),
    badMessages: z.number().int(),
  })),
});

export const listConnections = collection("connections", {
  tag: "Switch",
  summary: "OpenFlow connections of a bridge",
  response: connectionsSchema,
  handle: (call) => ({
    json: { connections: call.source.vswitch.operate.connections(bridgeOf(call)) },
  }),
});

export const datapathFlowsSchema = z.object({
  flows: z.array(z.string()).describe("As `ovs-appctl dpctl/dump-flows` writes them."),
  total: z.number().int(),
});

export const listDatapathFlows = operation({
  tag: "Switch",
  summary: "Flows of the datapath, of one bridge or all",
  headers: acceptHeader,
  query: z.strictObject({
    bridge: z.string().max(64).optional(),
    table: queryInteger(0, 254).optional().describe("Only those made from one flow: its table,"),
    priority: queryInteger(0, 0xffff).optional().describe("its priority"),
    match: z.string().max(4000).optional().describe("and its match, as GET …/flows says it."),
    ...linesQuery,
  }),
  response: datapathFlowsSchema,
  alsoAnswers: TEXT,
  async handle(call): Promise<Output> {
    const { bridge, table, priority, match } = call.query;
    if (bridge !== undefined) bridgeOf({ ...call, params: { name: bridge } });
    const { operate } = call.source.vswitch;
    const of = table === undefined || priority === undefined || match === undefined
      ? undefined
      : { table, priority, match };
    if (of !== undefined && bridge === undefined) {
      throw new HttpProblem(400, "A flow is one of a bridge: say bridge=… too.");
    }
    if (wantsText(call) && of === undefined && isWhole(call.query)) {
      return bridge === undefined
        ? { text: await command(call.source, "dpctl/dump-flows", []) }
        : { text: await command(call.source, "dpif/dump-flows", [bridge]) };
    }
    const flows = await operated(() => operate.datapathFlows(bridge, of));
    const { lines, total } = pagedLines(flows, call.query);
    if (wantsText(call)) return { text: lines.map((line) => `${line}\n`).join("") };
    return { json: { flows: lines, total } };
  },
});

export const countersSchema = z.object({ counters: z.record(z.string(), z.number()) });

export const listCounters = operation({
  tag: "Switch",
  summary: "Counters of datapath, cache and connections, with every reason for a drop",
  headers: acceptHeader,
  response: countersSchema,
  alsoAnswers: TEXT,
  async handle(call): Promise<Output> {
    if (wantsText(call)) return { text: await command(call.source, "coverage/show", []) };
    return { json: { counters: call.source.vswitch.operate.counters() } };
  },
});
