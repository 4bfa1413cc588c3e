import { describe, expect, test } from "bun:test";
import { LogSink } from "../../../../src/log/log.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { Reconnector } from "../../../../src/slowpath/control/reconnect.ts";
import type { Stream, StreamEvents } from "../../../../src/slowpath/control/streams.ts";

/** A peer that refuses or takes connections as told. */
class FakePeer {
  attempts: number[] = [];
  accept = false;
  hello = true;
  stream: (Stream & { drop(reason: string): void }) | undefined;
  readonly log: string[] = [];

  constructor(readonly clock: ManualClock) {}

  start(maxBackoffMs = 8000): Reconnector {
    return new Reconnector({
      clock: this.clock,
      log: new LogSink((line) => this.log.push(line)).logger("rconn"),
      name: "br0<->tcp:192.0.2.1:6653",
      maxBackoffMs,
      open: (makeEvents) => {
        this.attempts.push(this.clock.now());
        if (!this.accept) return Promise.reject(new Error("Connection refused"));
        const made: { events?: StreamEvents } = {};
        const drop = (reason: string) => made.events?.closed(reason);
        const stream = {
          peer: "fake",
          queuedBytes: 0,
          queuedWrites: 0,
          write: () => {},
          pause: () => {},
          resume: () => {},
          end: () => drop("ended"),
          abort: drop,
          drop,
        };
        this.stream = stream;
        made.events = makeEvents(stream);
        return Promise.resolve(stream);
      },
      start: (_stream, established) => {
        if (this.hello) established();
        return { data: () => {}, closed: () => {} };
      },
    });
  }

  /** Advances in small steps, letting promises settle in between. */
  async run(ms: number): Promise<void> {
    for (let done = 0; done < ms; done += 100) {
      this.clock.advance(100);
      await Promise.resolve();
      await Promise.resolve();
    }
  }

  get waits(): number[] {
    return this.attempts.slice(1).map((at, i) => at - this.attempts[i]!);
  }
}

describe("reconnection", () => {
  test("waits 1, 2, 4, 8, 8 seconds between attempts", async () => {
    const peer = new FakePeer(new ManualClock());
    const connection = peer.start();
    await peer.run(24_000);
    expect(peer.waits.map((ms) => Math.round(ms / 1000))).toEqual([1, 2, 4, 8, 8]);
    expect(connection.state).toBe("BACKOFF");
    expect(connection.status().get("last_error")).toBe("Connection refused");
    connection.close();
  });

  test("max_backoff below 8 s is kept", async () => {
    const peer = new FakePeer(new ManualClock());
    const connection = peer.start(2000);
    await peer.run(8000);
    expect(peer.waits.map((ms) => Math.round(ms / 1000))).toEqual([1, 2, 2, 2]);
    connection.close();
  });

  test("a connection that lasted starts again at 1 s, one that did not goes on doubling", async () => {
    const peer = new FakePeer(new ManualClock());
    const connection = peer.start();
    await peer.run(1500);
    peer.accept = true;
    await peer.run(3000);
    expect(connection.state).toBe("CONNECTED");
    expect(connection.downMs).toBe(0);
    await peer.run(20_000);
    let before = peer.attempts.length;
    peer.stream!.drop("gone");
    expect(connection.state).toBe("BACKOFF");
    await peer.run(1100);
    expect(peer.attempts.length).toBe(before + 1);
    before = peer.attempts.length;
    peer.stream!.drop("gone at once");
    await peer.run(1500);
    expect(peer.attempts.length).toBe(before);
    await peer.run(600);
    expect(peer.attempts.length).toBe(before + 1);
    connection.close();
  });

  test("a peer that never says hello is dropped after a second", async () => {
    const peer = new FakePeer(new ManualClock());
    peer.accept = true;
    peer.hello = false;
    const connection = peer.start();
    await peer.run(1000);
    expect(connection.state).toBe("BACKOFF");
    expect(connection.lastError).toBe("connection timed out");
    connection.close();
  });

  test("after close nothing happens any more", async () => {
    const peer = new FakePeer(new ManualClock());
    const connection = peer.start();
    connection.close();
    await peer.run(20_000);
    expect(peer.attempts.length).toBe(1);
    expect(connection.state).toBe("VOID");
  });

  test("the log falls silent after the longest wait", async () => {
    const peer = new FakePeer(new ManualClock());
    const connection = peer.start();
    await peer.run(20_000);
    const lines = peer.log.length;
    await peer.run(60_000);
    expect(peer.log.length).toBe(lines);
    connection.close();
  });
});
