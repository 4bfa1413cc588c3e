import { expect, test } from "bun:test";
import { LogSink } from "../../../../src/log/log.ts";
import { Bonds } from "../../../../src/slowpath/bonds/bonds.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";

test("LACP that nobody can read does not fill the log", async () => {
  const lines: string[] = [];
  const log = new LogSink((line) => lines.push(line)).logger("lacp");
  const port = { name: "p1", ofport: 1, mac: new Uint8Array(6), linkUp: true, linkResets: 0 };
  // deno-lint-ignore no-explicit-any
  const bundle: any = { name: "p1", members: [port], lacp: undefined, bond: undefined };
  const host = {
    bundles: [bundle],
    refresh: () => {},
    transmit: () => {},
    statusChanged: () => {},
    bondsChanged: () => {},
  };
  const clock = new ManualClock();
  const bonds = new Bonds(host as never, clock, log, log);
  const settings = { name: "p1", active: true, fast: true, fallback: false };
  bonds.configure(
    bundle,
    { name: "p1" } as never,
    { ...settings, systemId: new Uint8Array(6), systemPriority: 1 } as never,
    () => ({ name: "p1", portId: 1, portPriority: 1, key: 1 }) as never,
  );
  for (let n = 0; n < 1000; n++) {
    bundle.lacp.receive(port, Uint8Array.of(1, 2, 3));
    await Promise.resolve();
  }
  expect(lines.some((line) => line.includes("unparsable"))).toBe(true);
  expect(lines.length).toBeLessThan(70);
  bonds.close();
});
