/** Metrics, the log, and event streams of a whole daemon without devices. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LogTail } from "../../../src/http/log-tail.ts";
import { MOST_STREAMS, Streams } from "../../../src/http/streams.ts";
import { LogSink } from "../../../src/log/log.ts";
import { TestDaemon } from "./daemon.ts";

let it: TestDaemon;
beforeAll(async () => {
  it = await TestDaemon.start();
}, 20_000);
afterAll(() => it.stop(), 20_000);

interface Event {
  readonly id: string | undefined;
  readonly event: string;
  // deno-lint-ignore no-explicit-any
  readonly data: any;
}

/** Reads a stream until an event fits, then leaves. */
async function read(
  path: string,
  until: (event: Event) => boolean,
  { lastEventId, onOpen }: { lastEventId?: string; onOpen?: () => unknown } = {},
): Promise<Event[]> {
  const controller = new AbortController();
  const response = await it.fetch("GET", path, {
    signal: controller.signal,
    headers: lastEventId === undefined ? {} : { "last-event-id": lastEventId },
  });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const events: Event[] = [];
  const decoder = new TextDecoder();
  let text = "";
  const reader = response.body!.getReader();
  while (!events.some(until)) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the stream ended");
    text += decoder.decode(value, { stream: true });
    const blocks = text.split("\n\n");
    text = blocks.pop()!;
    for (
      const block of blocks.filter((each) => each.startsWith("id:") || each.startsWith("event:"))
    ) {
      const member = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
      const event = {
        id: member("id"),
        event: member("event")!,
        data: JSON.parse(member("data")!),
      };
      events.push(event);
      if (event.event === "ready") await onOpen?.();
    }
  }
  controller.abort();
  return events;
}

describe("changes", () => {
  const add = (name: string) => it.ask("POST", "/bridges", { name });
  const adds = (name: string) => ({ event, data }: Event): boolean =>
    event === "change" && data.rows.some((row: { name: string }) => row.name === name);

  test("come as they are committed, with who and what", async () => {
    const path = "/api/v1/events?tables=Bridge&configuration=true";
    const events = await read(path, adds("br1"), { onOpen: () => add("br1") });
    expect(events.at(-1)!.data).toMatchObject({
      author: { who: "http:127.0.0.1", user: "root" },
      rows: [{ table: "Bridge", name: "br1", change: "insert", values: { name: "br1" } }],
    });
  });

  test("are gone on with after a break, none twice, none left out", async () => {
    const path = "/api/v1/events?tables=Bridge&configuration=true";
    const first = await read(path, adds("br2"), { onOpen: () => add("br2") });
    await add("br3");
    await add("br4");
    const lastEventId = first.at(-1)!.id!;
    const rest = await read(path, adds("br4"), { lastEventId });
    const names = rest.filter(({ event }) => event === "change")
      .flatMap(({ data }) => data.rows.map((row: { name: string }) => row.name));
    expect(names).toEqual(["br3", "br4"]);
  });

  test("after too long a break the client is told to begin anew", async () => {
    const events = await read("/api/v1/events", ({ event }) => event === "ready", {
      lastEventId: "nonsense",
    });
    expect(events.map(({ event }) => event)).toEqual(["reset", "ready"]);
  });

  test("deleted rows, and statistics left out", async () => {
    const path = "/api/v1/events?configuration=true";
    const gone = ({ event, data }: Event): boolean =>
      event === "change" && data.rows.some((row: { change: string }) => row.change === "delete");
    const events = await read(path, gone, { onOpen: () => it.ask("DELETE", "/bridges/br1") });
    const columns = events.filter(({ event }) => event === "change")
      .flatMap(({ data }) => data.rows).flatMap((row) => Object.keys(row.values ?? {}));
    expect(columns).not.toContain("cur_cfg");
  });

  test.each(["?tables=nosuch", "?configuration=1", "?x=1"])("%s is refused", async (query) => {
    const { status } = await it.ask("GET", `/events${query}`);
    expect([400, 404]).toContain(status);
  });
});

describe("the log", () => {
  test("its last lines, as JSON and text", async () => {
    const { json } = await it.ask("GET", "/logs?limit=5");
    expect(json.lines.length).toBeGreaterThan(0);
    const { text } = await it.ask("GET", "/logs?limit=1", undefined, { accept: "text/plain" });
    expect(text).toMatch(/^\d{4}-.*\|(INFO|WARN)\|.*\n$/);
  });

  test("as a stream, gone on with after a break", async () => {
    const adds = (name: string) => ({ data }: Event): boolean => data.line?.includes(name);
    const make = (name: string) => it.ask("POST", "/bridges", { name });
    const first = await read("/api/v1/logs/stream", adds("log1"), { onOpen: () => make("log1") });
    await make("log2");
    const found = first.find(adds("log1"))!;
    const rest = await read("/api/v1/logs/stream", adds("log2"), { lastEventId: found.id! });
    expect(rest.some(({ id }) => id === found.id)).toBe(false);
  });

  test("what is too long ago, or of another run, is not known", () => {
    const sink = new LogSink(() => {});
    const tail = new LogTail(sink);
    const logger = sink.logger("test");
    for (let i = 0; i < 1500; i++) logger.info(`line ${i}`);
    const kept = tail.last(5000);
    expect(kept).toHaveLength(1000);
    expect(tail.since(kept[997]!.id)!.map(({ line }) => line.slice(-4))).toEqual(["1498", "1499"]);
    expect(tail.since(kept.at(-1)!.id)).toEqual([]);
    const [run] = kept[0]!.id.split("-");
    for (const id of ["", "x", `${run}-1`, `${run}-99999`, `${run}-x`, "other-1400"]) {
      expect(tail.since(id)).toBeUndefined();
    }
    tail.close();
    logger.info("not seen");
    expect(tail.last(1)[0]!.line).toEndWith("1499");
  });
});

describe("streams", () => {
  /** A source that tells numbers, and who asked it to. */
  function source() {
    const listeners = new Set<(n: number) => void>();
    let made = 0;
    const options = {
      signal: new AbortController().signal,
      keepOpen: () => {},
      stillAllowed: () => true,
      first: () => [{ event: "ready", data: {} }],
      key: "numbers",
      channel: {
        listen: (tell: (n: number) => void) => {
          listeners.add(tell);
          return () => void listeners.delete(tell);
        },
        eventOf: (n: number) => {
          made++;
          return n < 0 ? undefined : { event: "n", id: String(n), data: { n } };
        },
      },
    };
    const tell = (n: number) => listeners.forEach((each) => each(n));
    return { options, tell, listeners, made: () => made };
  }

  test("are so many, and no more", () => {
    const { options, listeners } = source();
    const streams = new Streams();
    const open = () => streams.open(options);
    for (let i = 0; i < MOST_STREAMS; i++) open();
    expect(open).toThrow("event streams are open");
    expect(listeners.size).toBe(1);
    streams.close();
    expect([streams.size, listeners.size]).toEqual([0, 0]);
    open();
    streams.close();
  });

  test("who may not read any more gets nothing of what happens then", async () => {
    const { options, tell, listeners } = source();
    const streams = new Streams();
    let allowed = true;
    const stream = streams.open({ ...options, stillAllowed: () => allowed });
    tell(1);
    allowed = false;
    tell(2);
    tell(3);
    const text = await new Response(stream).text();
    expect(text.match(/^id: \d+$/gm)).toEqual(["id: 1"]);
    expect([streams.size, listeners.size]).toEqual([0, 0]);
  });

  /** The numbers that a stream has brought, as long as it brings fewer than `count`. */
  async function numbers(stream: ReadableStream<Uint8Array>, count: number): Promise<number[]> {
    const reader = stream.getReader();
    const decoder = new TextDecoder();
    let text = "";
    const found = () => [...text.matchAll(/^id: (\d+)$/gm)].map(([, n]) => Number(n));
    while (found().length < count) {
      text += decoder.decode((await reader.read()).value, { stream: true });
    }
    return found();
  }

  test("all get the same, in order, each event made once; who joins later gets what comes later", async () => {
    const { options, tell, made } = source();
    const streams = new Streams();
    const early = [streams.open(options), streams.open(options)];
    for (const n of [1, 2, -1, 3]) tell(n);
    const late = streams.open({ ...options, first: () => [{ missed: 3 }] });
    for (const n of [4, 5]) tell(n);
    expect(made()).toBe(7);
    for (const stream of early) expect(await numbers(stream, 5)).toEqual([1, 2, 3, 4, 5]);
    expect(await numbers(late, 3)).toEqual([3, 4, 5]);
    streams.close();
  });

  test("a client that does not read is let go", () => {
    const { options, tell, listeners } = source();
    const streams = new Streams();
    const eventOf = () => ({ event: "x", data: "y".repeat(100_000) });
    const channel = { ...options.channel, eventOf };
    const first = () => [];
    streams.open({ ...options, channel, first });
    for (let n = 0; n < 30; n++) {
      tell(n);
      // What waits goes out when somebody joins.
      void streams.open({ ...options, channel, first }).cancel();
    }
    expect([streams.size, listeners.size]).toEqual([0, 0]);
  });

  test("a client that goes is forgotten", async () => {
    const { options, listeners } = source();
    const streams = new Streams();
    const stream = streams.open(options);
    expect(listeners.size).toBe(1);
    await stream.cancel();
    expect([streams.size, listeners.size]).toEqual([0, 0]);
  });
});

describe("metrics", () => {
  test("are well formed, and count", async () => {
    const response = await it.fetch("GET", "/metrics");
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const text = await response.text();
    const types = new Map<string, string>();
    for (const line of text.trimEnd().split("\n")) {
      const type = /^# TYPE (\w+) (counter|gauge|untyped)$/.exec(line);
      if (type) {
        expect(types.has(type[1]!)).toBe(false);
        types.set(type[1]!, type[2]!);
      } else if (!line.startsWith("# HELP ")) {
        const sample = /^(\w+)(\{(\w+="([^"\\\n]|\\.)*",?)+\})? -?[\d.e+-]+$/.exec(line);
        expect([line, types.has(sample?.[1] ?? "")]).toEqual([line, true]);
      }
    }
    expect(text).toMatch(/^solovs_bridges [1-9]/m);
    expect(text).toMatch(/^solovs_openflow_flows\{bridge="br2"\} \d/m);
    expect(text).toMatch(/^solovs_http_requests_total\{method="POST",status="201"\} [1-9]/m);
    expect(text).toMatch(/^solovs_ovsdb_rows\{table="Bridge"\} [1-9]/m);
    expect(text).toMatch(/^process_resident_memory_bytes \d/m);
  });
});
