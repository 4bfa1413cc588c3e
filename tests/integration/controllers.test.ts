/**
 * Controllers that people run: Open vSwitch's `ovs-testcontroller` in both directions and os-ken's
 * `simple_switch_13`; what the switch does without one (fail modes), and coming back to one.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { resolve } from "node:path";
import { eventually } from "../support/eventually.ts";
import { addHost, type Host, iperf, ping, reaches } from "../support/hosts.ts";
import { Sandbox } from "../support/netns.ts";
import { TestController } from "../support/openflow-peer.ts";
import { describePrivileged } from "../support/privileged.ts";
import {
  type RunningSwitch,
  startSwitch,
  SWITCH_TOOLS,
  underTestIsStock,
} from "../support/switch.ts";

const stock = underTestIsStock();
const SIMPLE_SWITCH_13 = resolve(import.meta.dir, "../support/simple_switch_13.py");

let sandbox: Sandbox, sw: RunningSwitch, h1: Host, h2: Host;

async function setUp(): Promise<void> {
  sandbox = await Sandbox.create();
  sw = await startSwitch(sandbox, await sandbox.netns("sw"));
  await sw.addBridge("br0");
  h1 = await addHost(sandbox, sw.ns, 1);
  h2 = await addHost(sandbox, sw.ns, 2);
  for (const host of [h1, h2]) {
    if (stock) await host.ns.must(["ethtool", "-K", "eth0", "tx", "off"]);
    await sw.clients.vsctl(`add-port br0 ${host.port}`);
  }
}

async function tearDown(): Promise<void> {
  await sw?.stop();
  await sandbox?.dispose();
}

const connected = () =>
  eventually(
    "is_connected",
    async () => await sw.clients.vsctl("get controller br0 is_connected") === "true",
    { timeoutMs: 35_000 },
  );

/** Traffic that only the controller's flows let through. */
async function trafficPasses(version: string): Promise<void> {
  expect(await reaches(h1.ns, h2.ip, 35_000)).toBe(true);
  expect((await ping(h1.ns, h2.ip, { count: 20, intervalSec: 0.02 })).received).toBe(20);
  expect((await iperf(h2, h1.ns)).gbitPerSec).toBeGreaterThan(0.05);
  const flows = await sw.clients.ofctl("-O", version, "dump-flows", "br0");
  expect(flows).toContain("in_port=");
  expect(flows).not.toContain("NORMAL");
}

const CASES = ["OpenFlow10", "OpenFlow13"] as const;

describePrivileged(
  "ovs-testcontroller",
  [...SWITCH_TOOLS, "ovs-testcontroller", "ping", "iperf3"],
  () => {
    beforeEach(setUp, 30_000);
    afterEach(tearDown, 30_000);

    for (const version of CASES) {
      test(`${version}: the switch connects to it`, async () => {
        sw.ns.spawn(["ovs-testcontroller", "-O", version, "ptcp:6653"], {
          env: { OVS_RUNDIR: sw.runDir },
        });
        await sw.clients.vsctl(
          `set bridge br0 protocols=${version} fail_mode=secure` +
            " -- set-controller br0 tcp:127.0.0.1:6653",
        );
        await connected();
        await trafficPasses(version);
        expect(await sw.clients.vsctl("get controller br0 status:state")).toBe("ACTIVE");
      }, 80_000);

      test(`${version}: it connects to the switch`, async () => {
        await sw.clients.vsctl(
          `set bridge br0 protocols=${version} fail_mode=secure` +
            " -- set-controller br0 ptcp:6654:127.0.0.1",
        );
        sw.ns.spawn(["ovs-testcontroller", "-O", version, "tcp:127.0.0.1:6654"], {
          env: { OVS_RUNDIR: sw.runDir },
        });
        // A passive connection has no status in the database, with Open vSwitch neither.
        await trafficPasses(version);
      }, 80_000);
    }
  },
);

describePrivileged("os-ken", [...SWITCH_TOOLS, "osken-manager", "ping", "iperf3"], () => {
  beforeEach(setUp, 30_000);
  afterEach(tearDown, 30_000);

  test("simple_switch_13 drives the switch", async () => {
    sw.ns.spawn(["osken-manager", "--ofp-tcp-listen-port", "6653", SIMPLE_SWITCH_13]);
    await sw.clients.vsctl(
      "set bridge br0 protocols=OpenFlow13 fail_mode=secure" +
        " -- set-controller br0 tcp:127.0.0.1:6653",
    );
    await connected();
    await trafficPasses("OpenFlow13");
  }, 80_000);
});

describePrivileged("without a controller", [...SWITCH_TOOLS, "ping"], () => {
  beforeEach(setUp, 30_000);
  afterEach(tearDown, 30_000);

  test("fail mode secure: nothing passes, the flow table stays as it is", async () => {
    await sw.clients.vsctl("set bridge br0 fail_mode=secure -- del-port p1 -- add-port br0 p1");
    await sw.clients.ofctl("del-flows br0");
    await sw.clients.vsctl("set-controller br0 tcp:127.0.0.1:6699");
    expect((await ping(h1.ns, h2.ip, { count: 3, waitSec: 0.3 })).received).toBe(0);
    const flows = await sw.clients.ofctl("dump-flows br0");
    expect(flows).not.toContain("actions");
  }, 20_000);

  test("fail mode standalone: after a while the switch learns by itself", async () => {
    await sw.clients.vsctl(
      "set-fail-mode br0 standalone -- set-controller br0 tcp:127.0.0.1:6699" +
        " -- set controller br0 inactivity_probe=5000",
    );
    expect(await reaches(h1.ns, h2.ip, 30_000)).toBe(true);
  }, 45_000);

  test("a controller that goes away is called again, with back-off", async () => {
    await sw.clients.vsctl(
      "set bridge br0 fail_mode=secure -- set-controller br0 tcp:127.0.0.1:6655" +
        " -- set controller br0 max_backoff=2000",
    );
    const first = new TestController(sw.ns, 6655, 1);
    await first.connected();
    await connected();
    first.close();
    await eventually(
      "not connected",
      async () => await sw.clients.vsctl("get controller br0 is_connected") === "false",
      {
        timeoutMs: 10_000,
      },
    );
    expect(await sw.clients.vsctl("get controller br0 status")).toMatch(/BACKOFF|CONNECTING/);
    const second = new TestController(sw.ns, 6655, 1);
    await second.connected();
    await connected();
    second.close();
  }, 45_000);

  test("del-controller gives the learning switch back", async () => {
    await sw.clients.vsctl("set-controller br0 tcp:127.0.0.1:6699");
    await sw.clients.vsctl("del-controller br0");
    await sw.clients.vsctl("del-fail-mode br0");
    expect(await reaches(h1.ns, h2.ip)).toBe(true);
    expect(await sw.clients.ofctl("dump-flows br0")).toContain("actions=NORMAL");
  }, 20_000);
});
