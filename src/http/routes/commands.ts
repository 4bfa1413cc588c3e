/**
 * What `ovs-appctl` asks, over HTTP: traces of packets, tracked connections. The texts are those of
 * the commands themselves.
 */
import { z } from "zod";
import { CommandError } from "../../slowpath/unixctl.ts";
import { HttpProblem } from "../problem.ts";
import type { HttpSource } from "../source.ts";
import { operation, type Output, queryInteger } from "./route.ts";
import { isWhole, linesQuery, pagedLines } from "./collection.ts";
import { acceptHeader, TEXT, wantsText } from "./running.ts";

/** Runs a command. Its errors are the request's. */
export async function command(
  { commands }: HttpSource,
  name: string,
  words: readonly string[],
): Promise<string> {
  if (commands?.has(name) !== true) {
    throw new HttpProblem(404, `This switch does not know the command ${name}.`);
  }
  try {
    return await commands.execute(name, words);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new HttpProblem(400, error.message.trim());
  }
}

/** No word of it may be taken for an option of the command. */
const word = (pattern: RegExp, what: string) => z.string().regex(pattern, what);

const traceBody = z.strictObject({
  bridge: word(/^[^-\s][^\s]{0,63}$/, "a bridge's name"),
  flow: z.string().min(1).max(4000).refine((text) => !text.trimStart().startsWith("-"), "a flow")
    .describe("As `ovs-appctl ofproto/trace` takes it: `in_port=p1,tcp,nw_dst=10.0.0.2`."),
  connectionStates: z.array(word(/^[a-z|,]{1,40}$/, "like trk,new")).max(16).default([])
    .describe("What `ct` finds, one after the other: `trk,est`."),
});

export const traceSchema = z.object({ text: z.string() });

const traceWords = ({ bridge, flow, connectionStates }: z.infer<typeof traceBody>): string[] => [
  ...connectionStates.flatMap((state) => ["--ct-next", state]),
  bridge,
  flow,
];

export const traceFlow = operation({
  tag: "Trace",
  summary: "What would happen to a packet, step by step; nothing is changed",
  headers: acceptHeader,
  body: traceBody,
  response: traceSchema,
  alsoAnswers: TEXT,
  async handle(call): Promise<Output> {
    const text = await command(call.source, "ofproto/trace", traceWords(call.body));
    return wantsText(call) ? { text } : { json: { text } };
  },
});

export const tracePacket = operation({
  tag: "Trace",
  summary: "The same with a packet: the switch learns from it",
  description: "The packet reaches controllers, though no port. Without bytes one is made up.",
  headers: acceptHeader,
  body: traceBody.extend({
    packet: word(/^([0-9a-fA-F]{2}){14,9000}$/, "a frame in hexadecimal digits").optional(),
  }),
  response: traceSchema,
  alsoAnswers: TEXT,
  async handle(call): Promise<Output> {
    const { packet, ...rest } = call.body;
    const words = [...traceWords(rest), packet ?? "-generate"];
    const text = await command(call.source, "ofproto/trace", words);
    const audit = `traced a packet on ${rest.bridge}: ${rest.flow}`;
    return wantsText(call) ? { text, audit } : { json: { text }, audit };
  },
});

export const conntrackSchema = z.object({
  connections: z.array(z.string()).describe("As `ovs-appctl dpctl/dump-conntrack -m` writes them."),
  total: z.number().int(),
});

const zone = queryInteger(0, 0xffff).optional().describe("Only this zone.");

export const listConntrack = operation({
  tag: "Switch",
  summary: "Tracked connections",
  headers: acceptHeader,
  query: z.strictObject({ zone, ...linesQuery }),
  response: conntrackSchema,
  alsoAnswers: TEXT,
  async handle(call): Promise<Output> {
    const { zone } = call.query;
    const only = zone === undefined ? [] : [`zone=${zone}`];
    if (wantsText(call) && isWhole(call.query)) {
      return { text: await command(call.source, "dpctl/dump-conntrack", only) };
    }
    const text = await command(call.source, "dpctl/dump-conntrack", ["-m", ...only]);
    const all = text.split("\n").filter((line) => line.trim() !== "");
    const { lines, total } = pagedLines(all, call.query);
    if (wantsText(call)) return { text: lines.map((line) => `${line}\n`).join("") };
    return { json: { connections: lines, total } };
  },
});

export const flushConntrack = operation({
  tag: "Switch",
  summary: "Forget tracked connections, all or those of a zone",
  query: z.strictObject({ zone }),
  status: 204,
  async handle(call) {
    const { zone } = call.query;
    await command(
      call.source,
      "dpctl/flush-conntrack",
      zone === undefined ? [] : [`zone=${zone}`],
    );
    return { audit: zone === undefined ? "forgot all connections" : `forgot zone ${zone}` };
  },
});
