/** Packets that came through a tunnel which nobody has: what they are told by, and counted under. */
import { expect, test } from "bun:test";
import { DummyNetwork } from "../../../../src/fastpath/host-network.ts";
import { writeTunnel } from "../../../../src/fastpath/tunnel-key.ts";
import { FlowKey } from "../../../../src/packet/key.ts";
import { FIELDS, slot, type SlotName } from "../../../../src/packet/layout.ts";
import { parseAddress } from "../../../../src/packet/prefix.ts";
import { parseTunnelConfig } from "../../../../src/slowpath/tunnels/config.ts";
import { Tunnels } from "../../../../src/slowpath/tunnels/tunnels.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";

const DP_PORT = 5;

function make(options: Record<string, string>): Tunnels<string> {
  const tunnels = new Tunnels<string>({
    clock: new ManualClock(),
    network: new DummyNetwork(),
    native: () => true,
    byHost: true,
    changed: () => {},
  });
  const { config } = parseTunnelConfig("t", "vxlan", new Map(Object.entries(options)));
  tunnels.add({ name: "t", config, dpPort: DP_PORT, port: "t" });
  return tunnels;
}

function packet(id: bigint, src: string, dst: string): FlowKey {
  const key = new FlowKey();
  const address = (text: string) => parseAddress(text)!.slice(12);
  writeTunnel(key, { id, src: address(src), dst: address(dst) });
  key.set(FIELDS.in_port, DP_PORT);
  return key;
}

const looks = ({ bytes }: FlowKey, name: SlotName): boolean => bytes[slot(name).offset] === 0xff;

test("by its key, then also by where it came from, then also by where it was sent to", () => {
  const tunnels = make({ remote_ip: "10.0.0.1", local_ip: "10.0.0.9", key: "3" });
  const told = (id: bigint, src: string, dst: string): boolean[] => {
    const { mask } = tunnels.refusal(packet(id, src, dst), DP_PORT)!;
    const names = ["in_port", "tun_id", "tun_src", "tun_dst", "tun_ipv6_dst", "tun_ttl"] as const;
    return names.map((name) => looks(mask, name));
  };
  expect(told(4n, "10.0.0.1", "10.0.0.9")).toEqual([true, true, false, false, false, false]);
  expect(told(3n, "10.0.0.2", "10.0.0.9")).toEqual([true, true, true, false, false, false]);
  expect(told(3n, "10.0.0.1", "10.0.0.8")).toEqual([true, true, true, true, true, false]);
  tunnels.close();
});

test("counted under its reason, and not at all if it has a port", () => {
  const tunnels = make({ remote_ip: "10.0.0.1", key: "3" });
  tunnels.refusal(packet(4n, "10.0.0.1", "10.0.0.9"), DP_PORT)!.count(7);
  tunnels.refusal(packet(3n, "10.0.0.2", "10.0.0.9"), DP_PORT)!.count(2);
  expect(tunnels.refusal(packet(3n, "10.0.0.1", "10.0.0.9"), DP_PORT)).toBeUndefined();
  expect(tunnels.refusal(packet(4n, "10.0.0.1", "10.0.0.9"), DP_PORT + 1)).toBeUndefined();
  expect(tunnels.counters()).toMatchObject({
    drop_tunnel_no_such_key: 7,
    drop_tunnel_wrong_remote: 2,
    drop_tunnel_wrong_local: 0,
  });
  tunnels.close();
});
