import { expect, test } from "bun:test";
import { parseTunnelConfig, TunnelConfigError } from "../../../../src/slowpath/tunnels/config.ts";
import { describeTunnel, TunnelPorts } from "../../../../src/slowpath/tunnels/ports.ts";
import { RouteTable } from "../../../../src/slowpath/tunnels/routes.ts";
import { Neighbours } from "../../../../src/slowpath/tunnels/neighbours.ts";
import { FlowKey } from "../../../../src/packet/key.ts";
import { writeTunnel } from "../../../../src/fastpath/tunnel-key.ts";
import { formatAddress, parseAddress, parsePrefix } from "../../../../src/packet/prefix.ts";

const read = (type: "vxlan" | "geneve" | "gre", options: Record<string, string>) =>
  parseTunnelConfig("t", type, new Map(Object.entries(options)));
const config = (type: "vxlan" | "geneve" | "gre", options: Record<string, string>) =>
  read(type, options).config;
const error = (type: "vxlan" | "geneve" | "gre", options: Record<string, string>): string => {
  try {
    read(type, options);
  } catch (thrown) {
    if (thrown instanceof TunnelConfigError) return thrown.message;
    throw thrown;
  }
  return "";
};

test("options have Open vSwitch's defaults", () => {
  const { remote, local, inKey, outKey, dstPort, ttl, tos, dontFragment, checksum } = config(
    "vxlan",
    { remote_ip: "192.0.2.1" },
  );
  expect(remote).toEqual(parseAddress("192.0.2.1")!);
  expect({ local, inKey, outKey, dstPort, ttl, tos, dontFragment, checksum }).toEqual({
    local: undefined,
    inKey: undefined,
    outKey: undefined,
    dstPort: 4789,
    ttl: 64,
    tos: 0,
    dontFragment: true,
    checksum: false,
  });
  expect(config("geneve", { remote_ip: "flow", key: "flow" }).inKey).toBe("flow");
  expect(config("gre", { remote_ip: "::1", key: "0x10", in_key: "5" }).outKey).toBe(16n);
});

test("what cannot be is an error, what is odd a warning", () => {
  expect(error("vxlan", {})).toBe("t: vxlan type requires valid 'remote_ip' argument");
  expect(error("gre", { remote_ip: "1.1.1.1", local_ip: "flow" })).toBe(
    "t: gre type requires 'remote_ip=flow' with 'local_ip=flow'",
  );
  expect(error("gre", { remote_ip: "1.1.1.1", local_ip: "fe80::1" })).toContain("address family");
  expect(error("gre", { remote_ip: "224.0.0.1" })).toContain("multicast");
  expect(error("geneve", { remote_ip: "1.1.1.1", packet_type: "legacy_l3" })).toContain("L3");
  expect(read("vxlan", { remote_ip: "1.1.1.1", nonsense: "1", tos: "3" }).warnings).toEqual([
    "t: unknown vxlan argument 'nonsense'",
    "t: invalid TOS 3",
  ]);
});

test("a packet belongs to the most specific port", () => {
  const ports = new TunnelPorts<string>();
  const add = (name: string, options: Record<string, string>): void =>
    ports.add({ name, config: config("gre", options), dpPort: 7, port: name });
  add("any", { remote_ip: "flow", key: "flow" });
  add("remote", { remote_ip: "10.0.0.1", key: "flow" });
  add("key", { remote_ip: "10.0.0.1", key: "3" });
  add("local", { remote_ip: "10.0.0.1", local_ip: "10.0.0.9", key: "3" });
  const find = (id: bigint, from: string, to: string, dpPort = 7): string | undefined => {
    const key = new FlowKey();
    writeTunnel(key, {
      id,
      src: parseAddress(from)!.slice(12),
      dst: parseAddress(to)!.slice(12),
    });
    return ports.find(key, dpPort);
  };
  expect(find(3n, "10.0.0.1", "10.0.0.9")).toBe("local");
  expect(find(3n, "10.0.0.1", "10.0.0.8")).toBe("key");
  expect(find(4n, "10.0.0.1", "10.0.0.9")).toBe("remote");
  expect(find(3n, "10.0.0.2", "10.0.0.9")).toBe("any");
  expect(find(3n, "10.0.0.2", "10.0.0.9", 8)).toBeUndefined();
  expect(ports.conflicting(config("gre", { remote_ip: "10.0.0.1", key: "3" }), 7)?.name).toBe(
    "key",
  );
  ports.delete("key");
  expect(find(3n, "10.0.0.1", "10.0.0.8")).toBe("remote");
  expect(describeTunnel(ports.of("local")!)).toBe(
    "port 7: local (gre: 10.0.0.9->10.0.0.1, key=0x3, legacy_l2, dp port=7, ttl=64)",
  );
});

test("routes: people's before the host's, then the longest prefix, only with a source address", () => {
  const addresses = new Map([
    ["br0", [parsePrefix("10.0.0.2/24")!]],
    ["br1", [parsePrefix("10.0.1.2/24")!]],
  ]);
  const table = new RouteTable((device) => addresses.get(device) ?? [], () => {});
  const lookup = (text: string): string | undefined => table.lookup(parseAddress(text)!, 0)?.device;
  expect(table.add({ destination: parsePrefix("10.0.0.0/24")!, device: "br0", origin: "host" }))
    .toBe(true);
  expect(table.add({ destination: parsePrefix("10.0.9.0/24")!, device: "nope", origin: "user" }))
    .toBe(false);
  const gateway = parseAddress("10.0.1.1")!;
  table.add({ destination: parsePrefix("0.0.0.0/0")!, device: "br1", gateway, origin: "user" });
  expect([lookup("10.0.0.7"), lookup("192.0.2.1"), lookup("fe80::1")]).toEqual([
    "br1",
    "br1",
    undefined,
  ]);
  expect(formatAddress(table.lookup(parseAddress("192.0.2.1")!, 0)!.source)).toBe("10.0.1.2");
  expect(table.remove(parsePrefix("0.0.0.0/0")!, 0)).toBe(true);
  expect([lookup("192.0.2.1"), lookup("10.0.0.7")]).toEqual([undefined, "br0"]);
});

test("neighbours are forgotten when nobody uses them, and bounded", () => {
  let now = 0;
  let changes = 0;
  const table = new Neighbours({ now: () => now }, () => changes++);
  const address = parseAddress("10.0.0.1")!;
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  table.set("br0", address, mac);
  table.set("br0", address, mac);
  expect(changes).toBe(1);
  now = 899_999;
  expect(table.lookup("br0", address)).toEqual(mac);
  now += 900_000;
  expect(table.lookup("br0", address)).toBeUndefined();
  expect(table.show()).toContain("STALE");
  table.expire();
  expect(table.show()).not.toContain("10.0.0.1");
  for (let i = 0; i < 5000; i++) {
    table.set("br0", parseAddress(`10.1.${i >> 8}.${i & 255}`)!, mac);
  }
  expect(table.refused).toBe(5000 - 4096);
});
