/** Outer headers of tunnels by the host's stack, as they stand on the wire: what the options ask for. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { RawPort } from "../support/raw-port.ts";
import { SolovsSwitch, SWITCH_TOOLS, underTestIsStock } from "../support/switch.ts";
import { type End, makeEnd, remote, setTunnel } from "./tunnels-ends.ts";

interface Outer {
  readonly protocol: number;
  readonly tos: number;
  readonly ttl: number;
  readonly dontFragment: boolean;
  /** Of UDP: destination port and checksum; 0 for the others. */
  readonly port: number;
  readonly checksum: number;
  /** Behind UDP, or IP, the first bytes. */
  readonly payload: number[];
}

function outerOf(frame: Uint8Array): Outer | undefined {
  if (frame[12] !== 8 || frame[13] !== 0) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const protocol = frame[23]!;
  const udp = protocol === 17;
  return {
    protocol,
    tos: frame[15]!,
    ttl: frame[22]!,
    dontFragment: (view.getUint16(20) & 0x4000) !== 0,
    port: udp ? view.getUint16(36) : 0,
    checksum: udp ? view.getUint16(40) : 0,
    payload: [...frame.subarray(udp ? 42 : 34, udp ? 58 : 50)],
  };
}

/** As they stand in the inner IP header. */
const PING_ADDRESSES = Uint8Array.of(10, 0, 0, 1, 10, 0, 0, 3);
const TO = `options:remote_ip=${remote(2)}`;

function tests(): void {
  let sandbox: Sandbox;
  let end: End;
  let other: Namespace;
  let wire: RawPort;

  beforeAll(async () => {
    sandbox = await Sandbox.create();
    const one = await sandbox.netns("one");
    other = await sandbox.netns("two");
    await sandbox.veth({ ns: one, name: "cable" }, { ns: other, name: "eth0" });
    end = await makeEnd(sandbox, await SolovsSwitch.start(sandbox, one), 1, "device");
    await other.ip("addr add 172.16.0.2/24 dev eth0");
    await end.host.ip("neigh replace 10.0.0.3 lladdr 02:00:00:00:00:03 dev eth0");
    wire = new RawPort(other, "eth0");
  }, 60_000);
  afterAll(async () => {
    wire?.close();
    await end?.sw.stop();
    await sandbox?.dispose();
  }, 30_000);

  /** What leaves when the host pings nobody, with TOS 0x48 and TTL 33. */
  async function seen(protocol: number, port: number): Promise<Outer> {
    let found: Outer | undefined;
    await eventually("a tunnelled ping", async () => {
      await end.host.run("ping -c 1 -W 0.1 -Q 0x48 -t 33 10.0.0.3".split(" "));
      for (let frame = wire.receive(); frame; frame = wire.receive()) {
        const outer = outerOf(frame);
        // The host has other things to say, too.
        const isPing = Buffer.from(frame).includes(PING_ADDRESSES);
        if (isPing && outer?.protocol === protocol && outer.port === port) found ??= outer;
      }
      return found !== undefined;
    });
    return found!;
  }

  test("inherited TOS and TTL, DF clear, a checksum, another port, different keys", async () => {
    const inherit = "options:tos=inherit options:ttl=inherit options:df_default=false";
    const keys = "options:in_key=1 options:out_key=43 options:dst_port=4790 options:csum=true";
    await setTunnel(end, "vxlan", `${TO} ${keys} ${inherit}`);
    const outer = await seen(17, 4790);
    expect(outer).toMatchObject({ tos: 0x48, ttl: 33, dontFragment: false });
    expect(outer.checksum).not.toBe(0);
    expect(outer.payload.slice(0, 8)).toEqual([8, 0, 0, 0, 0, 0, 43, 0]);
  }, 60_000);

  test("TOS and TTL of their own, DF set, no checksum", async () => {
    await setTunnel(end, "geneve", `${TO} options:key=7 options:tos=0x20 options:ttl=9`);
    const outer = await seen(17, 6081);
    expect(outer).toMatchObject({ tos: 0x20, ttl: 9, dontFragment: true, checksum: 0 });
    expect(outer.payload.slice(0, 8)).toEqual([0, 0, 0x65, 0x58, 0, 0, 7, 0]);
  }, 60_000);

  test("packets without their Ethernet header", async () => {
    await setTunnel(end, "gre", `${TO} options:key=5 options:packet_type=legacy_l3`);
    const gre = await seen(47, 0);
    expect(gre.payload.slice(0, 9)).toEqual([0x20, 0, 8, 0, 0, 0, 0, 5, 0x45]);
    await setTunnel(end, "lisp", `${TO} options:key=6`);
    const lisp = await seen(17, 4341);
    expect(lisp.payload.slice(4, 9)).toEqual([0, 0, 6, 1, 0x45]);
  }, 60_000);
}

if (!underTestIsStock()) {
  describePrivileged("outer headers of tunnels by the host's stack", [...SWITCH_TOOLS], tests);
}
