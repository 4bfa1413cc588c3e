/**
 * Every `ovs-ofctl` command, over OpenFlow 1.0 and 1.3: exit code, output and error text equal to
 * those of stock Open vSwitch in the same state. Times and counters of live traffic are
 * taken out; nothing else is.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { OpenFlowVersion } from "../support/clients.ts";
import { eventually } from "../support/eventually.ts";
import { Comparison, lines, normalise, Pair } from "../support/pair.ts";
import { describePrivileged } from "../support/privileged.ts";
import { STOCK_TOOLS } from "../support/stock.ts";
import { SWITCH_TOOLS } from "../support/switch.ts";

/** Flows that both versions can carry (those with Nicira extensions too, as ovs-ofctl does). */
const FLOWS: readonly string[] = [
  "actions=drop",
  "actions=NORMAL",
  "priority=0,actions=FLOOD",
  "in_port=1,actions=output:2",
  "in_port=LOCAL,actions=ALL",
  "in_port=2,actions=IN_PORT,LOCAL",
  "dl_src=02:00:00:00:00:01,actions=1",
  "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=1",
  "dl_vlan=10,actions=strip_vlan,1",
  "dl_vlan=0xffff,actions=1",
  "dl_vlan=10,dl_vlan_pcp=3,actions=mod_vlan_pcp:2,1",
  "vlan_tci=0x1000/0x1000,actions=1",
  "dl_type=0x88cc,actions=CONTROLLER:128",
  "arp,actions=NORMAL",
  "arp,arp_op=1,actions=NORMAL",
  "arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.0/24,actions=NORMAL",
  "arp,arp_sha=02:00:00:00:00:01,actions=NORMAL",
  "ip,actions=CONTROLLER",
  "ip,nw_src=10.0.0.0/8,actions=1",
  "ip,nw_dst=10.0.0.2,nw_proto=47,actions=1",
  "ip,nw_tos=184,actions=mod_nw_tos:32,1",
  "ip,nw_ecn=1,actions=1",
  "ip,nw_ttl=1,actions=dec_ttl,1",
  "ip,ip_frag=later,actions=drop",
  "icmp,icmp_type=8,icmp_code=0,actions=1",
  "tcp,tp_dst=80,actions=mod_tp_dst:8080,1",
  "tcp,tp_src=1024/0xfc00,actions=1",
  "tcp,tcp_flags=+syn-ack,actions=1",
  "udp,nw_src=10.0.0.1,tp_src=53,actions=mod_nw_src:10.9.9.9,mod_tp_src:54,1",
  "sctp,tp_dst=99,actions=1",
  "ipv6,ipv6_src=fd00::/64,actions=1",
  "ipv6,ipv6_dst=fd00::1,actions=1",
  "tcp6,tp_dst=443,actions=1",
  "icmp6,icmp_type=135,nd_target=fd00::1,actions=1",
  "priority=65535,idle_timeout=60,hard_timeout=600,actions=1",
  "cookie=0x1234567890abcdef,in_port=1,actions=1",
  "send_flow_rem,in_port=2,actions=1",
  "table=5,priority=7,actions=resubmit(,6)",
  "table=0,in_port=2,actions=resubmit:1,resubmit(,5)",
  "actions=mod_dl_src:02:00:00:00:00:09,mod_dl_dst:02:00:00:00:00:08,2",
  "actions=mod_vlan_vid:77,2,strip_vlan,1",
  "actions=set_field:02:00:00:00:00:07->eth_dst,2",
  "ip,actions=set_field:10.1.1.1->ip_dst,2",
  "reg0=7,actions=1",
  "metadata=5,actions=1",
  "actions=load:0x5->NXM_NX_REG0[],2",
];

/** Flows with instructions and actions of OpenFlow 1.1 and later. */
const FLOWS_13: readonly string[] = [
  "table=0,actions=goto_table:1",
  "table=0,in_port=1,actions=push_vlan:0x8100,set_field:4196->vlan_vid,output:2",
  "table=0,actions=pop_vlan,output:1",
  "table=0,actions=write_actions(output:2),goto_table:3",
  "table=0,actions=clear_actions",
  "table=0,actions=write_metadata:0x5/0xff,goto_table:2",
  "vlan_vid=0x1000/0x1000,actions=1",
  "ip,ip_dscp=46,actions=1",
];

/** Commands that fail, or do nothing, and how they say so. */
const ERRORS: readonly (readonly string[])[] = [
  ["show", "nosuchbridge"],
  ["add-flow", "br0", "actions=output:70000"],
  ["add-flow", "br0", "nosuchfield=1,actions=drop"],
  ["add-flow", "br0", "tp_dst=80,actions=drop"],
  ["add-flow", "br0", "actions=nosuchaction"],
  ["add-flow", "br0", "table=255,actions=drop"],
  ["add-flow", "br0", "in_port=1"],
  ["add-flow", "br0", "actions=resubmit(,255)"],
  ["add-flow", "br0", "actions=enqueue:1:99"],
  ["mod-port", "br0", "nosuchport", "down"],
  ["mod-port", "br0", "1", "sideways"],
  ["dump-ports", "br0", "77"],
  ["--strict", "del-flows", "br0", "priority=123,in_port=1"],
  ["packet-out", "br0", "in_port=1 packet=00 actions=2"],
];

/** Port statistics without the counts; ports in the order of their names, for a switch has none. */
function counters(text: string): string[] {
  return normalise(text).replaceAll(/=\d+/g, "=N").split(/\n(?= +port)/)
    .map((each) => each.trimEnd()).sort();
}

describePrivileged(
  "ovs-ofctl prints what it prints for Open vSwitch",
  [...SWITCH_TOOLS, ...STOCK_TOOLS],
  () => {
    let pair: Pair;
    beforeAll(async () => {
      pair = await Pair.create();
    }, 40_000);
    afterAll(async () => {
      await pair?.dispose();
    }, 30_000);

    const { same, sameInAnyOrder: sameFlows } = new Comparison(() => pair);

    for (const version of ["OpenFlow10", "OpenFlow13"] satisfies OpenFlowVersion[]) {
      const o = ["-O", version];
      const flows = version === "OpenFlow10" ? FLOWS : [...FLOWS, ...FLOWS_13];

      test(`${version}: set up`, async () => {
        await pair.each((sw) => sw.clients.vsctl(`set bridge br0 protocols=${version}`));
        await same(...o, "del-flows", "br0");
      }, 20_000);

      test(`${version}: show`, async () => {
        expect(await same(...o, "show", "br0")).toContain("1(p1): addr:02:00:00:00:01:01");
      }, 20_000);

      test(`${version}: dump-desc has the same fields`, async () => {
        const { ours, theirs } = await pair.ofctl(...o, "dump-desc", "br0");
        const names = (text: string) => lines(text).map((line) => line.split(":")[0]!);
        expect(names(ours.stdout)).toEqual(names(theirs.stdout));
      }, 20_000);

      test(`${version}: dump-ports-desc`, async () => {
        await same(...o, "dump-ports-desc", "br0");
        await same(...o, "dump-ports-desc", "br0", "1");
      }, 20_000);

      test(`${version}: dump-ports has the same ports and counters`, async () => {
        for (const port of [[], ["p1"], ["LOCAL"]]) {
          const { ours, theirs } = await pair.ofctl(...o, "dump-ports", "br0", ...port);
          expect(counters(ours.stdout)).toEqual(counters(theirs.stdout));
        }
      }, 20_000);

      test(`${version}: dump-tables`, async () => {
        await same(...o, "dump-tables", "br0");
      }, 20_000);

      // OpenFlow 1.0 has no table features.
      if (version === "OpenFlow13") {
        test(`${version}: dump-table-features tells what each table can do`, async () => {
          // Not the same as Open vSwitch's: solovs lists what it does itself.
          const { ours } = await pair.ofctl(...o, "dump-table-features", "br0");
          expect({ code: ours.code, stderr: ours.stderr }).toEqual({ code: 0, stderr: "" });
          expect(ours.stdout).toContain("table 0:");
          expect(ours.stdout).toContain("tables 1...252: ditto");
          expect(ours.stdout).toMatch(/actions: output .*set_field/);
        }, 20_000);
      }

      for (const flow of flows) {
        test(`${version}: add-flow ${flow}`, async () => {
          await same(...o, "add-flow", "br0", flow);
          await same(...o, "dump-flows", "br0");
          await same(...o, "del-flows", "br0");
        }, 20_000);
      }

      test(`${version}: add-flows, dump-flows with matches, dump-aggregate`, async () => {
        for (const sw of [pair.ours, pair.theirs]) {
          await sw.clients.addFlows("br0", FLOWS.join("\n"), version);
        }
        await sameFlows(...o, "dump-flows", "br0");
        await sameFlows(...o, "dump-flows", "br0", "in_port=1");
        await sameFlows(...o, "dump-flows", "br0", "table=5");
        await sameFlows(...o, "dump-flows", "br0", "cookie=0x1234567890abcdef/-1");
        await sameFlows(...o, "dump-flows", "br0", "out_port=2");
        await sameFlows(...o, "dump-flows", "br0");
        await same(...o, "dump-aggregate", "br0");
        await same(...o, "dump-aggregate", "br0", "ip");
        await same(...o, "dump-aggregate", "br0", "table=5");
      }, 20_000);

      test(`${version}: mod-flows, loose and strict`, async () => {
        await same(...o, "mod-flows", "br0", "tcp,actions=output:2");
        await same(...o, "--strict", "mod-flows", "br0", "priority=0,actions=drop");
        await same(...o, "mod-flows", "br0", "in_port=9,actions=output:1");
        await sameFlows(...o, "dump-flows", "br0");
      }, 20_000);

      test(`${version}: del-flows by match, table, output port, cookie`, async () => {
        for (
          const what of ["tcp", "table=5", "out_port=1", "cookie=0x1234567890abcdef/-1", "ip"]
        ) {
          await same(...o, "del-flows", "br0", what);
          await sameFlows(...o, "dump-flows", "br0");
        }
        await same(...o, "del-flows", "br0");
        await same(...o, "dump-flows", "br0");
      }, 20_000);

      test(`${version}: replace-flows and diff-flows`, async () => {
        for (const sw of [pair.ours, pair.theirs]) {
          await sw.clients.addFlows("br0", "priority=3 actions=1\npriority=4 actions=2", version);
        }
        await same(...o, "replace-flows", "br0", "/dev/null");
        await same(...o, "dump-flows", "br0");
      }, 20_000);

      test(`${version}: mod-port`, async () => {
        for (const change of ["down", "no-flood", "no-forward", "up", "flood", "forward"]) {
          await same(...o, "mod-port", "br0", "p1", change);
          const { ours, theirs } = await pair.ofctl(...o, "show", "br0");
          const config = (text: string) =>
            lines(text).filter((line) => /config:|addr:/.test(line) && !line.includes("LOCAL"));
          expect(config(ours.stdout)).toEqual(config(theirs.stdout));
        }
      }, 20_000);

      test(`${version}: get-frags, set-frags, probe, ping, queue-stats`, async () => {
        await same(...o, "get-frags", "br0");
        await same(...o, "set-frags", "br0", "drop");
        await same(...o, "get-frags", "br0");
        await same(...o, "set-frags", "br0", "normal");
        await same(...o, "probe", "br0");
        await same(...o, "queue-stats", "br0");
      }, 20_000);

      test(`${version}: packet-out`, async () => {
        const packet = "ffffffffffff020000000009080600010800060400010200000000090a000009" +
          "0000000000000a00000a";
        await same(...o, "packet-out", "br0", `in_port=1 packet=${packet} actions=output:2`);
      }, 20_000);

      test(`${version}: monitor shows a packet-in`, async () => {
        const packet = "ffffffffffff020000000009080600010800060400010200000000090a000009" +
          "0000000000000a00000a";
        const shown = await pair.each(async (sw) => {
          const env = { OVS_RUNDIR: sw.runDir };
          const watching = sw.ns.spawn(["ovs-ofctl", ...o, "monitor", "br0", "65534"], { env });
          await Bun.sleep(300);
          const out = `in_port=1 packet=${packet} actions=controller`;
          await sw.clients.ofctl(...o, "packet-out", "br0", out);
          await eventually("the packet-in", () => watching.log.includes("arp_tpa=10.0.0.10"));
          await watching.stop();
          return lines(watching.log);
        });
        expect(shown.ours).toEqual(shown.theirs);
      }, 20_000);

      for (const args of ERRORS) {
        test(`${version}: error of ${args.join(" ")}`, async () => {
          await same(...o, ...args);
          await same(...o, "del-flows", "br0");
        }, 20_000);
      }
    }
  },
);
