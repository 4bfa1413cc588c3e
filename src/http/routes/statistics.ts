/** `/api/v1/statistics`: traffic of all ports now, as it changes, and over the last hours. */
import { z } from "zod";
import { LONGEST_SPAN_S } from "../statistics/ring.ts";
import type { Reading } from "../statistics/sampler.ts";
import type { HttpSource } from "../source.ts";
import { toInstant } from "./names.ts";
import { operation, queryInteger } from "./route.ts";

const tag = "Live";
const rate = z.number().int();
const traffic = z.tuple([rate, rate, rate, rate])
  .describe("Received bits/s, sent bits/s, received packets/s, sent packets/s.");

const portRates = z.object({
  bridge: z.string(),
  name: z.string(),
  ofport: z.number().int(),
  kind: z.string(),
  linkUp: z.boolean(),
  linkSpeedBps: z.number().nullable(),
  rxPackets: z.number(),
  txPackets: z.number(),
  rxBytes: z.number(),
  txBytes: z.number(),
  drops: z.number(),
  rxBps: rate,
  txBps: rate,
  rxPps: rate,
  txPps: rate,
});

export const readingSchema = z.object({
  time: z.iso.datetime(),
  transaction: z.string().describe("Changes whenever the database does."),
  ports: z.array(portRates),
  total: traffic.describe("All ports but patches, in the order of a port's rates."),
  hits: rate.describe("Packets/s that the flow cache answered."),
  misses: rate,
  drops: rate,
  flows: z.number().int(),
  datapathFlows: z.number().int(),
});
export type ReadingJson = z.infer<typeof readingSchema>;

export function readingJson(source: HttpSource, reading: Reading): ReadingJson {
  const { id: _, timeMs, ports, total, ...rest } = reading;
  return {
    time: toInstant(timeMs),
    transaction: source.database.lastTransactionId,
    ports: [...ports],
    total: [...total],
    ...rest,
  };
}

export const showStatistics = operation({
  tag,
  summary: "Traffic of all ports: totals, and rates over the last two seconds",
  response: readingSchema,
  handle: ({ source }) => ({ json: readingJson(source, source.sampler.last) }),
});

const point = z.object({
  time: z.iso.datetime().describe("The end of the step that it is the average of."),
  total: traffic,
  ports: z.record(z.string(), traffic).describe("The busiest ports, `BRIDGE/PORT`."),
  hits: rate,
  misses: rate,
  drops: rate,
});

export const statisticsHistorySchema = z.object({
  stepSeconds: z.number().int(),
  points: z.array(point),
});
export type StatisticsHistory = z.infer<typeof statisticsHistorySchema>;

export const showStatisticsHistory = operation({
  tag,
  summary: "Traffic over the last hours, oldest first",
  description:
    "Steps of 10 s over the last hour, of a minute over the last day, of 15 minutes over the last " +
    "30 days. What lies longer back is kept over restarts.",
  query: z.strictObject({
    span: queryInteger(60, LONGEST_SPAN_S).default(3600).describe("Seconds to look back."),
    port: z.string().max(80).optional().describe("Only this one: `BRIDGE/PORT`."),
  }),
  response: statisticsHistorySchema,
  handle({ source, query: { span, port } }) {
    const { stepSeconds, samples } = source.sampler.rings.read(span, Date.now());
    const points = samples.map(({ timeMs, ports, ...sample }) => ({
      ...sample,
      time: toInstant(timeMs),
      ports: port === undefined ? ports : Object.hasOwn(ports, port) ? { [port]: ports[port] } : {},
    }));
    return { json: { stepSeconds, points } };
  },
});

export const streamStatistics = operation({
  tag,
  summary: "Traffic as it changes, as server-sent events",
  description: "A `statistics` event every two seconds, as GET /api/v1/statistics answers.",
  headers: { "Last-Event-ID": "The last event seen: those after it come first." },
  query: z.strictObject({}),
  alsoAnswers: ["text/event-stream"],
  handle({ source, header, signal, keepOpen, stillAllowed }) {
    const { sampler, streams } = source;
    const stream = streams.open({
      signal,
      keepOpen,
      stillAllowed,
      first: () => {
        const from = header("last-event-id");
        const missed = from === undefined ? undefined : sampler.since(from);
        return (missed ?? [sampler.last]).map((each) => ({ missed: each }));
      },
      key: "statistics",
      channel: {
        listen: (tell) => sampler.listen(tell),
        eventOf: (reading: Reading) => ({
          event: "statistics",
          id: reading.id,
          data: readingJson(source, reading),
        }),
      },
    });
    return { stream };
  },
});
