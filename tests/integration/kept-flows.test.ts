/** Flows that survive the process: other_config:persist-flows, with kill -9 and stock ovs-ofctl. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import {
  type RunningSwitch,
  startSwitch,
  SWITCH_TOOLS,
  underTestIsStock,
} from "../support/switch.ts";

let sandbox: Sandbox, sw: RunningSwitch;

const flows = async (): Promise<string[]> =>
  (await sw.clients.ofctl("-O", "OpenFlow13", "--no-stats", "dump-flows", "br0"))
    .split("\n").map((line) => line.trim()).filter((line) => line.includes("actions=")).sort();

/** The process ends without warning; another takes up its work. */
async function dieAndReturn(): Promise<void> {
  await sw.killNow();
  await sw.restart();
  await eventually("the bridge", async () => {
    const shown = await sw.ns.run([
      "ovs-ofctl",
      "-O",
      "OpenFlow13",
      "show",
      `${sw.runDir}/br0.mgmt`,
    ]);
    return shown.code === 0;
  });
}

describePrivileged("flows over a restart", SWITCH_TOOLS, () => {
  beforeAll(async () => {
    sandbox = await Sandbox.create();
    sw = await startSwitch(sandbox, await sandbox.netns("sw"));
    await sw.addBridge("br0");
    await sw.clients.vsctl("set bridge br0 fail_mode=secure");
  }, 30_000);
  afterAll(async () => {
    await sw?.stop();
    await sandbox?.dispose();
  }, 30_000);

  test.skipIf(underTestIsStock())(
    "are gone unless asked for, then there after kill -9",
    async () => {
      const ofctl = (...words: string[]) => sw.clients.ofctl("-O", "OpenFlow13", ...words);
      await ofctl("add-flow", "br0", "priority=3,ip actions=drop");
      await dieAndReturn();
      expect(await flows()).toEqual([]);

      await sw.clients.vsctl("set bridge br0 other_config:persist-flows=true");
      await ofctl("add-group", "br0", "group_id=7,type=all,bucket=output:1");
      await ofctl("add-meter", "br0", "meter=2,kbps,band=type=drop,rate=1000");
      await ofctl("add-flow", "br0", "table=2,priority=9,tcp,tp_dst=80 actions=group:7");
      await ofctl("add-flow", "br0", "cookie=0x5,priority=1 actions=resubmit(,2)");
      await ofctl("add-flow", "br0", "priority=4 actions=drop");
      await ofctl("--strict", "del-flows", "br0", "priority=4");
      const before = await flows();
      expect(before).toHaveLength(2);
      await dieAndReturn();
      expect(await flows()).toEqual(before);
      expect(await ofctl("dump-groups", "br0")).toContain("group_id=7,type=all");
      expect(await ofctl("dump-meters", "br0")).toContain("meter=2 kbps");

      await sw.clients.vsctl("remove bridge br0 other_config persist-flows");
      await dieAndReturn();
      expect(await flows()).toEqual([]);
    },
    60_000,
  );
});
