/**
 * Bundles, flow monitors, meters, `learn` and conjunctions with the stock `ovs-ofctl`: exit code,
 * output and error text equal to those of stock Open vSwitch in the same state.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { OpenFlowVersion } from "../support/clients.ts";
import { eventually } from "../support/eventually.ts";
import { run } from "../support/exec.ts";
import { Comparison, normalise, normalised, Pair } from "../support/pair.ts";
import { describePrivileged } from "../support/privileged.ts";
import { STOCK_TOOLS } from "../support/stock.ts";
import { type RunningSwitch, SWITCH_TOOLS } from "../support/switch.ts";

/** Flows with actions that the other files do not add. */
const FLOWS: readonly string[] = [
  "actions=learn(table=1,hard_timeout=60,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]," +
  "output:NXM_OF_IN_PORT[])",
  "actions=learn(table=1,priority=7,cookie=0x9,send_flow_rem,delete_learned,limit=5," +
  "result_dst=NXM_NX_REG0[8],eth_type=0x800,load:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15])",
  "tcp,actions=learn(table=2,fin_idle_timeout=5,fin_hard_timeout=6,eth_type=0x800,nw_proto=6," +
  "NXM_OF_TCP_DST[]=NXM_OF_TCP_SRC[])",
  "ip,nw_src=10.0.0.1,actions=conjunction(1,1/2)",
  "ip,nw_dst=10.0.0.2,actions=conjunction(1,2/2),conjunction(2,1/3)",
  "conj_id=1,ip,actions=2",
  "actions=multipath(symmetric_l4,1024,hrw,8,0,NXM_NX_REG0[0..7])",
  "actions=multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[])",
  "actions=bundle(eth_src,0,hrw,ofport,members:1,2)",
  "actions=bundle_load(symmetric_l4,60,active_backup,ofport,NXM_NX_REG0[],members:2,1)",
  "actions=note:01.02.03.04.05.06,2",
  "tcp,actions=fin_timeout(idle_timeout=5,hard_timeout=10),2",
];

const METERS: readonly string[] = [
  "meter=1 pktps bands=type=drop rate=100",
  "meter=2 kbps burst stats bands=type=drop rate=1000 burst_size=2000",
  "meter=3 kbps bands=type=drop rate=10 type=drop rate=20",
  "meter=controller pktps bands=type=drop rate=1000",
];

const METER_ERRORS: readonly (readonly string[])[] = [
  ["add-meter", "br0", "meter=1 pktps bands=type=drop rate=100"],
  ["mod-meter", "br0", "meter=77 pktps bands=type=drop rate=100"],
  ["add-meter", "br0", "meter=9 pktps bands=type=drop rate=0"],
  ["dump-meters", "br0", "meter=77"],
  ["meter-stats", "br0", "meter=77"],
];

const lines = (text: string): string[] =>
  normalise(text).replaceAll(/duration:[\d.]+s/g, "duration:Ns").split("\n");

describePrivileged(
  "OpenFlow's and Nicira's extensions with ovs-ofctl, as Open vSwitch",
  [...SWITCH_TOOLS, ...STOCK_TOOLS],
  () => {
    let pair: Pair;
    beforeAll(async () => {
      pair = await Pair.create();
    }, 40_000);
    afterAll(async () => {
      await pair?.dispose();
    }, 30_000);

    const { same, sameInAnyOrder } = new Comparison(() => pair, lines);
    /** `ovs-ofctl COMMAND br0 -` with a text to read. */
    const fed = async (text: string, ...args: readonly string[]): Promise<void> => {
      const { ours, theirs } = await pair.each((sw) =>
        run(["ovs-ofctl", ...args, "br0", "-"], { env: { OVS_RUNDIR: sw.runDir }, stdin: text })
      );
      expect(normalised(ours)).toEqual(normalised(theirs));
    };

    for (const version of ["OpenFlow13", "OpenFlow14", "OpenFlow15"] satisfies OpenFlowVersion[]) {
      const o = ["-O", version];
      test(`${version}: bundles`, async () => {
        await same(...o, "del-flows", "br0");
        const many = Array.from({ length: 500 }, (_, i) => `priority=${i},actions=1`).join("\n");
        await fed(many, ...o, "--bundle", "add-flows");
        await sameInAnyOrder(...o, "dump-flows", "br0");
        // The third fails: none of them is there afterwards.
        await fed("actions=1\nactions=2\nactions=group:9", ...o, "--bundle", "add-flows");
        await sameInAnyOrder(...o, "dump-flows", "br0");
        await fed(
          "priority=1 actions=2\npriority=600 actions=1",
          ...o,
          "--bundle",
          "replace-flows",
        );
        await sameInAnyOrder(...o, "dump-flows", "br0");
        await fed("priority=1 actions=1", ...o, "diff-flows");
        await same(...o, "--bundle", "mod-flows", "br0", "actions=drop");
        await same(...o, "--bundle", "del-flows", "br0", "priority=1");
        await sameInAnyOrder(...o, "dump-flows", "br0");
        await same(...o, "--bundle", "del-flows", "br0");
        await same(...o, "dump-flows", "br0");
      }, 40_000);

      test(`${version}: bundles of flows, groups and packets`, async () => {
        const packet = "ffffffffffff02000000000988b5" + "00".repeat(46);
        const all = [
          "group add group_id=1,type=all,bucket=output:1",
          "flow add in_port=1,actions=group:1",
          `packet-out in_port=1 packet=${packet} actions=table`,
          "group delete group_id=1",
        ].join("\n");
        await fed(all, ...o, "bundle");
        await same(...o, "dump-groups", "br0");
        await same(...o, "dump-flows", "br0");
        await fed("flow add in_port=1,actions=1\nflow add actions=group:7", ...o, "bundle");
        await same(...o, "dump-flows", "br0");
      }, 20_000);

      test(`${version}: meters`, async () => {
        await same(...o, "del-meters", "br0");
        for (const meter of METERS) await same(...o, "add-meter", "br0", meter);
        await sameInAnyOrder(...o, "dump-meters", "br0");
        await sameInAnyOrder(...o, "meter-stats", "br0");
        await same(...o, "dump-meters", "br0", "meter=2");
        await same(...o, "mod-meter", "br0", "meter=2 pktps bands=type=drop rate=7");
        await same(...o, "dump-meters", "br0", "meter=2");
        for (const args of METER_ERRORS) await same(...o, ...args);
        // Open vSwitch's datapaths have no bands that remark.
        const features = await pair.ofctl(...o, "meter-features", "br0");
        expect(features.ours.stdout).toContain("dscp_remark");
        await same(...o, "add-meter", "br0", "meter=3 kbps bands=type=drop rate=7");
        await same(...o, "del-meter", "br0", "meter=2");
        await sameInAnyOrder(...o, "dump-meters", "br0");
        await same(...o, "del-meters", "br0");
        await same(...o, "dump-meters", "br0");
      }, 30_000);
    }

    for (const version of ["OpenFlow10", "OpenFlow13", "OpenFlow15"] satisfies OpenFlowVersion[]) {
      const o = ["-O", version];
      for (const flow of FLOWS) {
        test(`${version}: add-flow ${flow}`, async () => {
          await same(...o, "add-flow", "br0", flow);
          await same(...o, "dump-flows", "br0");
          await same(...o, "del-flows", "br0");
        }, 20_000);
      }
    }

    for (const n of [0, 2, 3, 4, 5] as const) {
      const version: OpenFlowVersion = `OpenFlow1${n}`;
      const o = ["-O", version];
      for (const what of ["watch:", "watch:!initial,table=0,ip", "watch:!own"]) {
        test(`${version}: monitor ${what}`, async () => {
          const watch = async (sw: RunningSwitch): Promise<string[]> => {
            const { clients, ns, runDir } = sw;
            await clients.ofctl(...o, "del-flows", "br0");
            await clients.ofctl(...o, "add-flow", "br0", "priority=1,ip,actions=1");
            const argv = ["ovs-ofctl", ...o, "monitor", "br0", what];
            const watching = ns.spawn(argv, { env: { OVS_RUNDIR: runDir } });
            await Bun.sleep(400);
            for (
              const args of [
                ["add-flow", "br0", "priority=2,ip,actions=1"],
                ["mod-flows", "br0", "ip,actions=2"],
                ["mod-flows", "br0", "ip,actions=2"],
                ["add-flow", "br0", "priority=2,ip,actions=2"],
                ["--strict", "del-flows", "br0", "priority=2,ip"],
                ["add-flow", "br0", "table=1,ip,actions=1"],
                ["del-flows", "br0", "table=1"],
                ["add-flow", "br0", "cookie=0x99,priority=9,ip,actions=drop"],
              ]
            ) {
              await clients.ofctl(...o, ...args);
            }
            await eventually("the last update", () => watching.log.includes("cookie=0x99"));
            await watching.stop();
            // Of rules changed together, either may come first.
            return lines(watching.log).map((line) => line.trim()).sort();
          };
          const { ours, theirs } = await pair.each(watch);
          expect(ours).toEqual(theirs);
        }, 30_000);
      }
    }
  },
);
