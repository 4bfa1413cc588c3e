/** The queues of a port's QoS with what each has sent, as `ovs-appctl qos/show` tells it. */
import { z } from "zod";
import type { Datum } from "../../db/values/datum.ts";
import { command } from "./commands.ts";
import { portOf } from "./ports.ts";
import { operation, type Output } from "./route.ts";
import { acceptHeader, TEXT, wantsText } from "./running.ts";

const numbers = z.record(z.string(), z.number());

export const portQueuesSchema = z.object({
  type: z.string().nullable().describe("`linux-htb`; null: the port has no QoS."),
  settings: numbers.describe("Of all queues together, bits/s."),
  queues: z.array(z.object({
    queue: z.string().describe("Its number; 0 is `Default`."),
    values: numbers.describe("Settings in bits/s, and tx_packets, tx_bytes, tx_errors."),
  })),
});
export type PortQueues = z.infer<typeof portQueuesSchema>;

/** `Queue 7:` begins a queue, `  name: value` says something of it. */
export function parseQueues(text: string): PortQueues {
  const type = /^QoS: \S+ (\S+)/m.exec(text)?.[1] ?? null;
  const settings: Record<string, number> = {};
  const queues: { queue: string; values: Record<string, number> }[] = [];
  for (const line of text.split("\n")) {
    const queue = /^(?:Queue (\d+)|(Default)):$/.exec(line);
    if (queue) queues.push({ queue: queue[1] ?? queue[2]!, values: {} });
    const value = /^\s*([\w-]+): (\d+)$/.exec(line);
    if (value) (queues.at(-1)?.values ?? settings)[value[1]!] = Number(value[2]);
  }
  return { type, settings, queues };
}

export const listPortQueues = operation({
  tag: "Bridges",
  summary: "Queues of a port, with what each has sent",
  headers: acceptHeader,
  response: portQueuesSchema,
  alsoAnswers: TEXT,
  async handle(call): Promise<Output> {
    // Of a bond each member has its own; the first one's are shown.
    const { row, table, interfaces: [first = ""] } = portOf(call);
    const { index } = table.schema.columns.get("qos")!;
    if ((row.fields[index] as Datum).keys.length === 0 && !wantsText(call)) {
      return { json: { type: null, settings: {}, queues: [] } };
    }
    const text = await command(call.source, "qos/show", [first]);
    return wantsText(call) ? { text } : { json: parseQueues(text) };
  },
});
