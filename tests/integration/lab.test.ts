/** `solovs lab` and the life cycle of the process, in namespaces of the test's own. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { eventually } from "../support/eventually.ts";
import { run } from "../support/exec.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { ROOT, solovsCommand, underTestIsStock } from "../support/switch.ts";

describePrivileged("solovs lab", ["setpriv"], () => {
  let sandbox: Sandbox;
  let ns: Namespace;
  /** The lab's own directory is made here, so that leftovers can be seen. */
  let tmp: string;
  beforeEach(async () => {
    sandbox = await Sandbox.create();
    ns = await sandbox.netns("lab");
    tmp = sandbox.tempDir("tmp");
  });
  afterEach(async () => await sandbox?.dispose());

  const options = () => ({ cwd: ROOT, env: { TMPDIR: tmp }, timeoutMs: 60_000 });

  async function expectNothingLeft(): Promise<void> {
    expect(readdirSync(tmp)).toEqual([]);
    const names = (await ns.links()).map((link) => link.ifname);
    expect(names.filter((name) => name.startsWith("lab"))).toEqual([]);
  }

  test.skipIf(underTestIsStock())(
    "--once pings, transfers, shows the flows, and leaves nothing",
    async () => {
      const result = await ns.run([...solovsCommand(), "lab", "--once"], options());
      expect(result.stderr).toBe("");
      expect(result.stdout).toMatch(/ping h1 → h2: 5 of 5 answered/);
      expect(result.stdout).toMatch(/TCP {2}h1 → h2: \d+ MB in \d\.\d s: [\d.]+ Gbit\/s/);
      expect(result.stdout).toContain("actions=NORMAL");
      expect(result.stdout).not.toContain("not to be had");
      expect(result.code).toBe(0);
      await expectNothingLeft();
    },
    60_000,
  );

  test.skipIf(underTestIsStock())("waits for Ctrl-C, and what it prints works", async () => {
    const lab = ns.spawn([...solovsCommand(), "lab"], options());
    await eventually("the lab runs", () => lab.log.includes("until Ctrl-C"), { timeoutMs: 30_000 });
    const [, runDir = ""] = /export OVS_RUNDIR=(\S+)/.exec(lab.log) ?? [];
    expect(runDir).toStartWith(tmp);
    const show = await run(["ovs-vsctl", "show"], { env: { OVS_RUNDIR: runDir } });
    expect(show.stdout).toContain("Port lab0-h1");
    lab.signal("SIGINT");
    expect(await lab.ended(10_000)).toBe(0);
    await expectNothingLeft();
  }, 60_000);

  test.skipIf(underTestIsStock())("Ctrl-C in the middle of the transfer", async () => {
    const lab = ns.spawn([...solovsCommand(), "lab"], options());
    await eventually("the ping is done", () => lab.log.includes("5 of 5"), { timeoutMs: 30_000 });
    lab.signal("SIGINT");
    expect(await lab.ended(10_000)).toBe(0);
    await expectNothingLeft();
  }, 60_000);

  test.skipIf(underTestIsStock())("a killed lab takes its hosts and cables along", async () => {
    const lab = ns.spawn([...solovsCommand(), "lab"], options());
    await eventually(
      "the hosts are plugged in",
      async () => (await ns.link("lab0-h2")) !== undefined,
    );
    lab.signal("SIGKILL");
    await lab.ended(5000);
    await eventually("the cables are gone", async () => (await ns.link("lab0-h2")) === undefined);
  }, 60_000);

  test.skipIf(underTestIsStock())("without root it says what it needs", async () => {
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    for (const words of [["lab"], ["run", "--run-dir", "/tmp/solovs-nobody"]]) {
      const result = await run([...nobody, ...solovsCommand(), ...words], { timeoutMs: 10_000 });
      expect(result.stderr).toMatch(/needs (root|CAP_NET_ADMIN)/);
      expect(result.code).toBe(1);
    }
  }, 30_000);
});
