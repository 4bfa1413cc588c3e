import { expect, test } from "bun:test";
import { LogSink } from "../../../../src/log/log.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { bfdFrame, parseBfdFrame } from "../../../../src/slowpath/liveness/bfd-message.ts";
import { bfdSettings } from "../../../../src/slowpath/liveness/bfd-settings.ts";
import { Sessions, type WatchedPort } from "../../../../src/slowpath/liveness/sessions.ts";

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);

/** One port with a BFD session, and what comes of it. */
function bench() {
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = new LogSink((line) => lines.push(line)).logger("bfd");
  const seen = { sent: [] as Uint8Array[], status: 0, live: 0 };
  const port = { name: "p1", mac: MAC, sessions: undefined } as unknown as WatchedPort;
  const ports = new Map([[1, port]]);
  const sessions = new Sessions(
    {
      ports,
      transmit: (_, frame) => void seen.sent.push(frame),
      rxPackets: () => 0,
      livenessChanged: () => void seen.live++,
      statusChanged: () => void seen.status++,
    },
    clock,
    { bfd: log, cfm: log },
    () => 0.5,
  );
  sessions.configure(port, bfdSettings("p1", new Map([["enable", "true"]]), () => {}), undefined);
  return { clock, lines, seen, port, ports, sessions };
}

test("who sends as fast as a cable carries fills neither the log nor the database", async () => {
  const { clock, lines, seen, port, sessions } = bench();
  clock.advance(5000);
  const [status, sent, logged] = [seen.status, seen.sent.length, lines.length];
  const own = parseBfdFrame(seen.sent[0]!)!.message!;
  const addresses = { ethSrc: MAC, ethDst: MAC, ipSrc: MAC.subarray(2), ipDst: MAC.subarray(2) };
  // A second of them, each with another state, interval and multiplier.
  for (let n = 0; n < 1000; n++) {
    const frame = bfdFrame({ ...addresses, udpSrc: 50000 }, {
      ...own,
      state: n % 2 === 0 ? "down" : "admin_down",
      multiplier: 1 + n % 255,
      myDiscriminator: 1 + n,
      yourDiscriminator: own.myDiscriminator,
      minTxUs: 0,
      minRxUs: 1000 * n,
    });
    port.sessions!.receive("bfd", frame);
    await Promise.resolve();
    clock.advance(1);
  }
  expect(port.sessions!.bfd!.remoteMultiplier).toBe(1 + 999 % 255);
  expect(lines.length - logged).toBeLessThan(70);
  expect(seen.status - status).toBeLessThan(15);
  expect(seen.status - status).toBeGreaterThan(3);
  expect(seen.sent.length - sent).toBeLessThan(20);
  sessions.close();
});

test("the database is told the last state too, and nothing runs for a port that is gone", async () => {
  const { clock, seen, port, ports, sessions } = bench();
  const { status } = seen;
  expect(status).toBeGreaterThan(0);
  port.sessions!.bfd!.setForwarding(true);
  sessions.happened();
  await Promise.resolve();
  expect([seen.status, seen.live]).toEqual([status, 2]);
  clock.advance(100);
  expect(seen.status).toBe(status + 1);
  sessions.detached(port);
  ports.clear();
  const sent = seen.sent.length;
  clock.advance(60_000);
  expect([seen.sent.length, seen.status]).toEqual([sent, status + 1]);
});
