/**
 * `solovs testcontroller` drives a switch with hosts in namespaces of their own: as a learning switch,
 * as a hub, without flows, waiting for the switch and calling it.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import type { Background } from "../support/exec.ts";
import { addHost, type Host, ping, reaches } from "../support/hosts.ts";
import { Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { type RunningSwitch, solovsCommand, startSwitch, SWITCH_TOOLS } from "../support/switch.ts";

describePrivileged("solovs testcontroller", [...SWITCH_TOOLS, "ping"], () => {
  let sandbox: Sandbox, sw: RunningSwitch, h1: Host, h2: Host;
  let controller: Background | undefined;

  beforeAll(async () => {
    sandbox = await Sandbox.create();
    sw = await startSwitch(sandbox, await sandbox.netns("sw"));
    await sw.addBridge("br0");
    h1 = await addHost(sandbox, sw.ns, 1);
    h2 = await addHost(sandbox, sw.ns, 2);
    for (const host of [h1, h2]) await sw.clients.vsctl(`add-port br0 ${host.port}`);
  }, 30_000);
  afterAll(async () => {
    await controller?.stop();
    await sw?.stop();
    await sandbox?.dispose();
  }, 30_000);

  /** With that controller and no other, and an empty table. */
  async function drive(version: string, target: string, ...words: string[]): Promise<void> {
    await sw.clients.vsctl(
      `del-controller br0 -- set bridge br0 protocols=${version} fail_mode=secure`,
    );
    await controller?.stop();
    await sw.clients.ofctl("-O", version, "del-flows", "br0");
    await sw.clients.vsctl(
      `set-controller br0 ${target} -- set controller br0 max_backoff=1000`,
    );
    controller = sw.ns.spawn([...solovsCommand(), "testcontroller", ...words], {
      env: { OVS_RUNDIR: sw.runDir },
    });
  }

  const flows = (version: string): Promise<string> =>
    sw.clients.ofctl("-O", version, "dump-flows", "br0");

  test("a learning switch over ptcp:, OpenFlow 1.0: traffic passes by flows it adds", async () => {
    await drive("OpenFlow10", "tcp:127.0.0.1:6653", "--max-idle=30", "ptcp:6653:127.0.0.1");
    expect(await reaches(h1.ns, h2.ip, 20_000)).toBe(true);
    expect((await ping(h1.ns, h2.ip, { count: 10, intervalSec: 0.05 })).received).toBe(10);
    await eventually("flows", async () => {
      const text = await flows("OpenFlow10");
      return /idle_timeout=30, .*icmp,in_port=1.*actions=output:2/.test(text) &&
        /idle_timeout=30, .*icmp,in_port=2.*actions=output:1/.test(text);
    });
  }, 60_000);

  test("a hub over punix:, OpenFlow 1.3: every packet goes everywhere", async () => {
    const socket = join(sw.runDir, "hub.sock");
    await drive("OpenFlow13", `unix:${socket}`, "-H", "--max-idle=permanent", `punix:${socket}`);
    expect(await reaches(h1.ns, h2.ip, 20_000)).toBe(true);
    await eventually("flows", async () => {
      const text = await flows("OpenFlow13");
      return /icmp,in_port=1.*actions=FLOOD/.test(text) &&
        /priority=0 actions=CONTROLLER:128/.test(text) && !text.includes("idle_timeout");
    });
  }, 60_000);

  test("without flows, calling the switch, OpenFlow 1.5: each packet is sent on", async () => {
    await drive("OpenFlow15", "ptcp:6654:127.0.0.1", "-n", "tcp:127.0.0.1:6654");
    // It calls once: when the switch does not listen yet, it has to be started again.
    await eventually("the controller is connected", async () => {
      if ((await flows("OpenFlow15")).includes("CONTROLLER")) return true;
      await controller?.stop();
      controller = sw.ns.spawn(
        [...solovsCommand(), "testcontroller", "-n", "tcp:127.0.0.1:6654"],
        { env: { OVS_RUNDIR: sw.runDir } },
      );
      await Bun.sleep(500);
      return false;
    }, { timeoutMs: 20_000 });
    expect(await reaches(h1.ns, h2.ip, 20_000)).toBe(true);
    expect((await ping(h1.ns, h2.ip, { count: 5, intervalSec: 0.05 })).received).toBe(5);
    expect(await flows("OpenFlow15")).not.toContain("icmp");
  }, 60_000);
});
