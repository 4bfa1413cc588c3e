/** `/api/v1/captures`: packets of a port as they pass, without a mirror. */
import { z } from "zod";
import { CaptureError } from "../../slowpath/observe.ts";
import { CAPTURE_LIMITS, pcapFile, type RunningCapture } from "../captures.ts";
import { HttpProblem } from "../problem.ts";
import { toInstant } from "./names.ts";
import { collection } from "./collection.ts";
import { caller, operation, queryInteger } from "./route.ts";

const tag = "Captures";
/** Of each packet: all that is kept, so that it can be traced. */
const SHOWN_BYTES = 1900;

export const captureSchema = z.object({
  id: z.string(),
  bridge: z.string(),
  port: z.string(),
  filter: z.string(),
  user: z.string(),
  started: z.iso.datetime(),
  ended: z.enum(["stopped", "time", "packets", "bytes", "failed"]).nullable()
    .describe("Why it has ended; null while it runs."),
  packets: z.number().int(),
  bytes: z.number().int(),
  drops: z.number().int().describe("Packets that came too fast to be kept."),
  most: z.object({ seconds: z.number().int(), packets: z.number().int() }),
});
export type CaptureJson = z.infer<typeof captureSchema>;

const shown = (capture: RunningCapture): CaptureJson => ({
  id: capture.id,
  bridge: capture.spec.bridge,
  port: capture.spec.port,
  filter: capture.spec.filter,
  user: capture.user,
  started: toInstant(capture.startedMs),
  ended: capture.ended ?? null,
  packets: capture.list.length,
  bytes: capture.bytes,
  drops: capture.drops,
  most: { seconds: capture.spec.seconds, packets: capture.spec.packets },
});

export const listCaptures = collection("captures", {
  tag,
  summary: "Captures, running and ended",
  response: z.object({ captures: z.array(captureSchema) }),
  handle: ({ source }) => ({ json: { captures: source.captures.list().map(shown) } }),
});

export const startCapture = operation({
  tag,
  summary: "Begin to capture a port's packets",
  description:
    "`filter` is an expression as tcpdump takes it (pcap-filter(7)), where the host has " +
    "libpcap. Bounded by time, packets and 8 MiB; up to 1900 bytes of each packet are kept.",
  body: z.strictObject({
    bridge: z.string().max(64),
    port: z.string().max(64),
    filter: z.string().max(1000).default(""),
    seconds: z.number().int().min(1).max(CAPTURE_LIMITS.seconds).default(60),
    packets: z.number().int().min(1).max(CAPTURE_LIMITS.packets).default(1000),
  }),
  status: 201,
  response: captureSchema,
  handle(call) {
    const { source, body } = call;
    try {
      const capture = source.captures.start(body, caller(call).user);
      return {
        json: shown(capture),
        headers: { location: `/api/v1/captures/${capture.id}` },
        audit: `capture ${body.bridge} ${body.port} ${body.filter}`.trim(),
      };
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      throw new HttpProblem(422, error.message);
    }
  },
});

export const capturedSchema = captureSchema.extend({
  list: z.array(z.object({
    number: z.number().int(),
    timeMs: z.number(),
    direction: z.enum(["in", "out"]).describe("in: the switch received it by the port."),
    wireBytes: z.number().int(),
    data: z.string().describe(`Base64, up to ${SHOWN_BYTES} bytes.`),
  })),
});
export type CapturedJson = z.infer<typeof capturedSchema>;

export const showCapture = operation({
  tag,
  summary: "A capture, with its packets from a number on",
  query: z.strictObject({
    after: queryInteger(0, 1e6).default(0).describe("Packets after this number."),
    limit: queryInteger(0, 1000).default(200),
  }),
  response: capturedSchema,
  handle({ source, params: { id = "" }, query: { after, limit } }) {
    const capture = source.captures.get(id);
    const list = capture.list.slice(after, after + limit).map((packet, i) => ({
      number: after + i + 1,
      timeMs: packet.timeMs,
      direction: packet.direction,
      wireBytes: packet.wireBytes,
      data: Buffer.from(packet.data.subarray(0, SHOWN_BYTES)).toString("base64"),
    }));
    return { json: { ...shown(capture), list } };
  },
});

export const downloadCapture = operation({
  tag,
  summary: "Download a capture as a file for Wireshark and tcpdump",
  alsoAnswers: ["application/vnd.tcpdump.pcap"],
  handle({ source, params: { id = "" } }) {
    const { list, spec } = source.captures.get(id);
    const name = `${spec.bridge}-${spec.port}`.replace(/[^A-Za-z0-9._-]/g, "_");
    return {
      bytes: pcapFile(list),
      headers: {
        "content-type": "application/vnd.tcpdump.pcap",
        "content-disposition": `attachment; filename="${name}.pcap"`,
      },
    };
  },
});

export const stopCapture = operation({
  tag,
  summary: "Stop a capture; its packets stay",
  response: captureSchema,
  handle({ source, params: { id = "" } }) {
    const capture = source.captures.get(id);
    capture.end("stopped");
    return { json: shown(capture), audit: `stopped capture ${id}` };
  },
});

export const removeCapture = operation({
  tag,
  summary: "Remove a capture and its packets",
  status: 204,
  handle({ source, params: { id = "" } }) {
    source.captures.remove(id);
    return { audit: `removed capture ${id}` };
  },
});
