import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openMemoryDatapath } from "../../../src/fastpath/memory/datapath.ts";
import { PcapFile } from "../../../src/fastpath/pcap-file.ts";
import { type PcapPortOptions, Replay } from "../../../src/fastpath/pcap-replay.ts";
import { anyMatch } from "../../../src/packet/key.ts";
import { buildFrame } from "../../../src/packet/headers.ts";
import { readPcap } from "../../../src/packet/pcap.ts";
import { pcapOptions } from "../../../src/slowpath/bridge/pcap-options.ts";

const FRAMES = [1, 2, 3].map((port) =>
  buildFrame({
    ipv4: { src: "10.0.0.1", dst: "10.0.0.2" },
    udp: { src: port, dst: 9 },
    payload: 30,
  })
);

describe("pcap ports", () => {
  let dir: string;
  let rx: string;
  let tx: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "solovs-pcap-"));
    rx = join(dir, "in.pcap");
    tx = join(dir, "out.pcap");
    const file = new PcapFile(rx);
    for (const [i, frame] of FRAMES.entries()) file.write(frame, 1_000_000 + i * 250);
    file.close();
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const options = (more: Partial<PcapPortOptions> = {}): PcapPortOptions => ({
    rx,
    tx,
    rate: "recorded",
    repeats: false,
    ...more,
  });

  test("a replay keeps the distances of the capture", () => {
    const replay = new Replay(rx, options(), 5000);
    expect([replay.nextMs, replay.take(5999)]).toEqual([6000, undefined]);
    expect(replay.take(6000)).toEqual(FRAMES[0]!);
    expect([replay.nextMs, replay.take(6249)]).toEqual([6250, undefined]);
    expect([replay.take(6250), replay.nextMs]).toEqual([FRAMES[1]!, 6500]);
    expect([replay.take(9999), replay.take(9999), replay.nextMs]).toEqual(
      [FRAMES[2]!, undefined, Infinity],
    );
  });

  test("or goes at a rate, over and over", () => {
    const replay = new Replay(rx, options({ rate: 100, repeats: true }), 0);
    const times = Array.from({ length: 7 }, () => {
      const at = replay.nextMs;
      replay.take(at);
      return at;
    });
    expect(times).toEqual([1000, 1010, 1020, 1030, 1040, 1050, 1060]);
    const max = new Replay(rx, options({ rate: "max", repeats: true }), 0);
    for (let i = 0; i < 30; i++) expect(max.take(1000 + Math.floor(i / 3))).toBeDefined();
    expect(max.take(1009)).toBeUndefined();
  });

  test("what is no capture is refused", () => {
    const whole = readFileSync(rx);
    for (const bytes of [new Uint8Array(), whole.subarray(0, 30), whole.subarray(0, 60)]) {
      writeFileSync(rx, bytes);
      expect(() => new Replay(rx, options(), 0)).toThrow();
    }
    const wifi = Uint8Array.from(whole);
    wifi[20] = 105;
    writeFileSync(rx, wifi);
    expect(() => new Replay(rx, options(), 0)).toThrow("link type is 105");
  });

  test("what one plays the other records", async () => {
    let now = 0;
    const datapath = openMemoryDatapath({ now: () => now });
    const from = await datapath.addPort({
      name: "in",
      type: "pcap",
      pcap: options({ tx: undefined }),
    });
    const to = await datapath.addPort({
      name: "out",
      type: "pcap",
      pcap: options({ rx: undefined }),
    });
    datapath.putFlow({ id: 0, match: anyMatch(), actions: [{ type: "output", port: to.portNo }] });
    now = 10_000;
    for (let i = 0; i < 500 && datapath.portStats(to.portNo)!.txPackets < 3; i++) {
      await Bun.sleep(10);
    }
    expect(datapath.portStats(from.portNo)!.rxPackets).toBe(3);
    await datapath.removePort(to.portNo);
    expect([...readPcap(readFileSync(tx))].map(({ bytes }) => bytes)).toEqual(FRAMES);
    await datapath.close();
    const missing = options({ rx: join(dir, "nothing") });
    const refused = openMemoryDatapath().addPort({ name: "x", type: "pcap", pcap: missing });
    await expect(refused).rejects.toThrow("cannot add pcap port x");
  }, 20_000);

  test("files are those of the run directory", () => {
    const of = (...entries: [string, string][]) => pcapOptions("p", new Map(entries), dir);
    expect(of(["rx_pcap", "in.pcap"], ["rx_rate", "max"])).toEqual({
      rx,
      tx: undefined,
      rate: "max",
      repeats: false,
    });
    mkdirSync(join(dir, "sub"));
    symlinkSync("/etc", join(dir, "etc"));
    symlinkSync("/etc/passwd", join(dir, "link"));
    expect(of(["tx_pcap", join(dir, "sub/x")]).tx).toBe(join(dir, "sub/x"));
    for (const path of ["/etc/passwd", "../x", "etc/passwd", "link", "nowhere/x"]) {
      expect(() => of(["rx_pcap", path])).toThrow("is not a file in");
    }
    expect(() => of()).toThrow("needs 'rx_pcap'");
    expect(() => of(["rx_pcap", "a"], ["tx_pcap", "a"])).toThrow("same file");
    expect(() => of(["rx_pcap", "a"], ["rx_rate", "0"])).toThrow("rx_rate");
    expect(() => of(["rx_pcap", "a"], ["peer", "x"])).toThrow("unknown pcap option peer");
  });
});
