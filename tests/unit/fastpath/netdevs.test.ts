import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DummyNetdevs, dummyPortNumber } from "../../../src/fastpath/memory/netdevs.ts";
import { formatMac } from "../../../src/packet/address.ts";
import { eventually } from "../../support/eventually.ts";

const frame = (length: number, type = 0x1234): Uint8Array => {
  const bytes = new Uint8Array(length).fill(0xa5);
  bytes.set([type >> 8, type & 0xff], 12);
  return bytes;
};
const options = (map: Record<string, string> = {}) => new Map(Object.entries(map));

describe("dummy devices", () => {
  let dir = "";
  let warnings: string[] = [];
  let made: DummyNetdevs[] = [];
  const make = (): DummyNetdevs => {
    const netdevs = new DummyNetdevs({ types: new Set(["dummy"]), warn: (w) => warnings.push(w) });
    made.push(netdevs);
    return netdevs;
  };
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "netdevs-"));
    warnings = [];
    made = [];
  });
  afterEach(() => {
    for (const netdevs of made) netdevs.close();
    rmSync(dir, { recursive: true });
  });

  test("are made once, with addresses in order, and take other options", () => {
    const netdevs = make();
    const heard: (string | undefined)[] = [];
    netdevs.onChange((name, device) => heard.push(device && name));
    expect(formatMac(netdevs.make("p1", options()).mac)).toBe("aa:55:aa:55:00:00");
    expect(formatMac(netdevs.make("p2", options()).mac)).toBe("aa:55:aa:55:00:01");
    expect(netdevs.make("p1", options({ ifindex: "7" })).ifindex).toBe(7);
    netdevs.make("p1", options({ ifindex: "7" }));
    netdevs.remove("p1");
    expect(heard).toEqual(["p1", "p2", "p1", undefined]);
    expect([netdevs.makes("dummy"), netdevs.makes("system")]).toEqual([true, false]);
  });

  test("count and capture both ways; what is too long is not sent", () => {
    const netdevs = make();
    const arrived: string[] = [];
    netdevs.onReceive((name, { data }) => arrived.push(`${name}:${data.length}`));
    netdevs.make("p1", options({ rxq_pcap: `${dir}/rx`, tx_pcap: `${dir}/tx` }));
    netdevs.receive("p1", { data: frame(60) });
    netdevs.receive("none", { data: frame(60) });
    netdevs.transmitted("p1", { data: frame(1514) });
    netdevs.transmitted("p1", { data: frame(1515) });
    netdevs.transmitted("p1", { data: frame(1518, 0x8100) });
    netdevs.transmitted("p1", { data: frame(1519, 0x8100) });
    netdevs.transmitted("p1", { data: frame(14).subarray(0, 13) });
    expect(arrived).toEqual(["p1:60"]);
    const { rxPackets, rxBytes, txPackets, txBytes, custom } = netdevs.stats("p1")!;
    expect([rxPackets, rxBytes, txPackets, txBytes]).toEqual([1, 60, 2, 1514 + 1518]);
    expect(custom.get("tx_q0_bytes")).toBe(1514 + 1518);
    const rx = readFileSync(`${dir}/rx`);
    expect(rx.subarray(0, 24).toString("hex")).toBe(
      "d4c3b2a1" + "02000400" + "00000000" + "00000000" + "ee050000" + "01000000",
    );
    expect(rx.subarray(24 + 8, 24 + 16).toString("hex")).toBe("3c0000003c000000");
    expect(rx.length).toBe(24 + 16 + 60);
    expect(readFileSync(`${dir}/tx`).length).toBe(24 + 2 * 16 + 1514 + 1518);
    netdevs.make("p2", options({ pcap: `${dir}/none/such` }));
    expect(warnings[0]).toStartWith(`${dir}/none/such: failed to open pcap file`);
  });

  test("two are connected by a socket, whoever comes first, and again after a loss", async () => {
    const [here, there] = [make(), make()];
    const arrived: number[] = [];
    there.onReceive((_, { data }) => arrived.push(data.length));
    const path = `unix:${dir}/cable`;
    here.make("p1", options({ stream: path }));
    expect(here.connectionState("p1")).toBe("disconnected");
    there.make("p1", options({ pstream: `p${path}` }));
    const connected = () => here.connectionState("p1") === "connected";
    await eventually("they are connected", connected);
    for (const length of [14, 1514, 60]) here.transmitted("p1", { data: frame(length) });
    await eventually("all frames arrive", () => arrived.length === 3);
    expect(arrived).toEqual([14, 1514, 60]);
    there.remove("p1");
    await eventually("the loss is noticed", () => !connected());
    there.make("p1", options({ pstream: `p${path}` }));
    await eventually("they are connected again", connected);
    expect([there.connectionState("p1"), there.connectionState("none")]).toEqual([
      undefined,
      undefined,
    ]);
  });

  test.each([
    ["p1", [], 1],
    ["p17", [], 17],
    ["br0", [], 100],
    ["br5", [], 105],
    ["br5", [105], 1],
    ["p1", [1], 2],
    ["lo", [1, 2], 3],
    ["p0", [], 1],
    ["p99999", [], 1],
  ])("%s, with %p taken, is datapath port %p", (name, taken, expected) => {
    expect(dummyPortNumber(name, (portNo) => taken.includes(portNo))).toBe(expected);
  });
});
