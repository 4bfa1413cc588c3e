/**
 * In-band control: a controller that is reached through the bridge which it controls. The bridge's own
 * port gets its address from the Controller row, and no flow is there to let anything through.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { addHost, type Host } from "../support/hosts.ts";
import { Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import {
  type RunningSwitch,
  startSwitch,
  SWITCH_TOOLS,
  underTestIsStock,
} from "../support/switch.ts";

const LOCAL = "10.0.0.250";

let sandbox: Sandbox, sw: RunningSwitch, h1: Host;

describePrivileged("in-band control", [...SWITCH_TOOLS, "ovs-testcontroller", "ip"], () => {
  beforeEach(async () => {
    sandbox = await Sandbox.create();
    sw = await startSwitch(sandbox, await sandbox.netns("sw"));
    await sw.addBridge("br0");
    h1 = await addHost(sandbox, sw.ns, 1);
    // Open vSwitch's userspace datapath fills in no checksums.
    if (underTestIsStock()) await h1.ns.must(["ethtool", "-K", "eth0", "tx", "off"]);
    await sw.clients.vsctl(`add-port br0 ${h1.port}`);
  }, 30_000);
  afterEach(async () => {
    await sw?.stop();
    await sandbox?.dispose();
  }, 30_000);

  const hidden = async () =>
    (await sw.clients.appctl("bridge/dump-flows", "br0")).split("\n")
      .map((line) => /priority=(1800\d\d),/.exec(line)?.[1]).filter((priority) => priority);

  test("a controller behind a port is reached, through rules that cannot be seen", async () => {
    h1.ns.spawn(["ovs-testcontroller", "ptcp:6653"], { env: { OVS_RUNDIR: sw.runDir } });
    await sw.clients.vsctl(
      `set-fail-mode br0 secure -- set-controller br0 tcp:${h1.ip}:6653` +
        ` -- set controller br0 local_ip=${LOCAL} local_netmask=255.255.255.0`,
    );
    await eventually(
      "the controller is connected",
      async () => await sw.clients.vsctl("get controller br0 is_connected") === "true",
      { timeoutMs: 30_000 },
    );
    expect(await sw.ns.must(["ip", "-4", "addr", "show", "br0"])).toContain(`${LOCAL}/24`);
    await eventually(
      "the next hop's rules are there",
      async () => (await hidden()).includes("180003"),
      { timeoutMs: 30_000 },
    );
    expect(await sw.clients.ofctl("dump-flows", "br0")).not.toContain("priority=1800");

    await sw.clients.vsctl("set bridge br0 other_config:disable-in-band=true");
    expect(await hidden()).toEqual([]);
  }, 90_000);
});
