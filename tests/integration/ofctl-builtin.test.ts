/**
 * `solovs ofctl` against stock `ovs-ofctl`: the same command lines to the same switch in the same
 * state; equal output, error text and exit code. Through a link named `ovs-ofctl` in all versions of
 * OpenFlow; as `solovs ofctl` it finds the version.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { type Result, run } from "../support/exec.ts";
import { addHost } from "../support/hosts.ts";
import { Sandbox } from "../support/netns.ts";
import { normalised } from "../support/pair.ts";
import { describePrivileged } from "../support/privileged.ts";
import { type RunningSwitch, solovsCommand, startSwitch, SWITCH_TOOLS } from "../support/switch.ts";

const FLOWS = `
# Comments and empty lines mean nothing.
priority=7,in_port=1,dl_vlan=10,actions=strip_vlan,output:2

cookie=0x1234,tcp,nw_src=10.0.0.0/8,tp_dst=80,actions=mod_nw_dst:10.1.1.1,output:p2
add table=1,udp,tp_src=1024/0xfc00,idle_timeout=60,actions=CONTROLLER:128
icmp6,icmp_type=135,nd_target=fd00::1,actions=learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15])
table=3,reg0=5/0xff,ct_state=+trk+est,ip,actions=ct(commit,zone=3,nat(src=10.0.0.1-10.0.0.9)),resubmit(,4)
`;

/** Command lines; `FILE` is a file of flows. They are run in order, each on what the former left. */
const CASES: readonly (readonly string[])[] = [
  ["del-flows", "br0"],
  ["add-flows", "br0", "FILE"],
  ["dump-flows", "br0"],
  ["dump-flows", "br0", "table=1"],
  ["dump-flows", "br0", "tcp"],
  ["dump-flows", "br0", "cookie=0x1234/-1"],
  ["--no-stats", "dump-flows", "br0"],
  ["--names", "--no-stats", "dump-flows", "br0"],
  ["--sort=priority", "dump-flows", "br0"],
  ["--rsort=in_port", "dump-flows", "br0"],
  ["dump-aggregate", "br0"],
  ["--strict", "mod-flows", "br0", "priority=7,in_port=p1,dl_vlan=10,actions=drop"],
  ["mod-flows", "br0", "tcp,actions=output:LOCAL"],
  ["dump-flows", "br0"],
  ["del-flows", "br0", "table=3"],
  ["diff-flows", "br0", "FILE"],
  ["replace-flows", "br0", "FILE"],
  ["diff-flows", "br0", "FILE"],
  ["dump-desc", "br0"],
  ["show", "br0"],
  ["dump-ports", "br0", "77"],
  ["dump-ports-desc", "br0"],
  ["queue-stats", "br0", "p1"],
  ["queue-get-config", "br0", "p1"],
  ["get-frags", "br0"],
  ["set-frags", "br0", "drop"],
  ["get-frags", "br0"],
  ["set-frags", "br0", "normal"],
  ["set-frags", "br0", "sideways"],
  ["mod-port", "br0", "p1", "no-flood"],
  ["dump-ports-desc", "br0"],
  ["mod-port", "br0", "p1", "flood"],
  ["mod-port", "br0", "p9", "flood"],
  ["mod-port", "br0", "1", "sideways"],
  ["packet-out", "br0", "in_port=1 packet=ffffffffffff020000000001080600010800 actions=drop"],
  ["packet-out", "br0", "in_port=1 packet=00 actions=2"],
  ["probe", "br0"],
  ["add-flow", "br0", "tp_dst=80,actions=drop"],
  ["add-flow", "br0", "in_port=nosuch,actions=drop"],
  ["add-flow", "br0", "in_port=1,nosuch=1,actions=drop"],
  ["add-flow", "br0", "table=255,actions=drop"],
  ["add-flow", "br0", "actions=nosuch"],
  ["add-flow", "br0", "in_port=1"],
  ["add-flow", "br0", "actions=enqueue:1:99"],
  ["--strict", "del-flows", "br0", "priority=123,in_port=1"],
  ["--read-only", "del-flows", "br0"],
  ["show", "nosuchbridge"],
  ["nosuchcommand"],
  ["show"],
  ["show", "br0", "p1"],
  ["-F", "nosuch", "dump-flows", "br0"],
  ["-O", "OpenFlow17", "show", "br0"],
];

/** From OpenFlow 1.1 on, or as Open vSwitch's extension in 1.0. */
const GROUPS: readonly (readonly string[])[] = [
  ["add-group", "br0", "group_id=1,type=select,bucket=weight:2,output:1,bucket=output:p2"],
  ["add-group", "br0", "group_id=2,type=ff,bucket=watch_port:1,output:1"],
  ["add-group", "br0", "group_id=3,type=all"],
  ["add-group", "br0", "group_id=3,type=all"],
  ["add-group", "br0", "group_id=4,type=nosuch"],
  ["mod-group", "br0", "group_id=3,type=indirect,bucket=output:2"],
  ["--may-create", "mod-group", "br0", "group_id=5,type=all,bucket=drop"],
  ["dump-groups", "br0"],
  ["del-groups", "br0", "group_id=2"],
  ["dump-groups", "br0", "1"],
  ["dump-group-features", "br0"],
  ["del-groups", "br0"],
];

const METERS: readonly (readonly string[])[] = [
  ["add-meter", "br0", "meter=1,kbps,burst,bands=type=drop,rate=1000,burst_size=100"],
  ["add-meter", "br0", "meter=2,pktps,stats,bands=type=drop,rate=10"],
  ["add-meter", "br0", "meter=2,pktps,stats,bands=type=drop,rate=10"],
  ["add-meter", "br0", "meter=3,bands=type=drop,rate=10"],
  ["dump-meters", "br0"],
  ["dump-meter", "br0", "meter=2"],
  ["mod-meter", "br0", "meter=2,pktps,bands=type=drop,rate=20"],
  ["dump-meters", "br0"],
  ["del-meters", "br0"],
  ["meter-features", "br0"],
];

/** What needs no switch. */
const ALONE: readonly (readonly string[])[] = [
  ["parse-flow", "tcp,tp_dst=80,actions=output:1,group:3"],
  ["-O", "OpenFlow13", "parse-flow", "ip,metadata=5,actions=write_metadata:1/3,goto_table:9"],
  ["-F", "nxm", "-mmm", "parse-flow", "reg0=5,actions=drop"],
  ["-mmm", "parse-flow", "ip,nw_src=10.0.0.0/8,actions=drop"],
  ["parse-flows", "FILE"],
  ["-O", "OpenFlow15", "parse-group", "group_id=1,type=all,bucket=bucket_id=7,output:1"],
  ["ofp-print", "0105000800000001"],
  ["ofp-print", "04020010000000010102030405060708", "3"],
  ["ofp-print", "ff"],
  ["ofp-print", ""],
  ["print-error", "OFPFMFC_OVERLAP"],
  ["encode-hello", "0x32"],
  ["list-commands"],
  ["--version"],
];

describePrivileged("ofctl as ovs-ofctl", [...SWITCH_TOOLS], () => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-ofctl-"));
  const file = join(dir, "flows.txt");
  const link = join(dir, "ovs-ofctl");
  let sandbox: Sandbox, sw: RunningSwitch;

  beforeAll(async () => {
    writeFileSync(file, FLOWS);
    symlinkSync(solovsCommand()[0]!, link);
    sandbox = await Sandbox.create();
    sw = await startSwitch(sandbox, await sandbox.netns("sw"));
    await sw.addBridge("br0");
    for (const n of [1, 2]) {
      const { port } = await addHost(sandbox, sw.ns, n);
      await sw.clients.vsctl(`add-port br0 ${port} -- set interface ${port} ofport_request=${n}`);
    }
    await sw.clients.vsctl("set bridge br0 fail_mode=secure");
  }, 30_000);
  afterAll(async () => {
    await sw?.stop();
    await sandbox?.dispose();
    rmSync(dir, { recursive: true, force: true });
  }, 30_000);

  const call = async (command: readonly string[], words: readonly string[]): Promise<Result> => {
    const args = words.map((word) => word.replace("FILE", file));
    const result = normalised(await run([...command, ...args], { env: { OVS_RUNDIR: sw.runDir } }));
    const tidy = (text: string): string =>
      text
        .replace(/^\d{4}-\d\d-\d\dT[\d:]*Z\|/gm, "TIME|")
        .replace(/xid=0x[0-9a-f]+/g, "xid=X")
        .replaceAll(/(rx pkts|bytes|tx pkts|drop)=\d+/g, "$1=N");
    return { ...result, stdout: inOrder(tidy(result.stdout)), stderr: tidy(result.stderr) };
  };

  /** A switch tells flows and groups in no order. */
  const inOrder = (text: string): string => {
    const lines = text.split("\n");
    const isItem = (line: string): boolean =>
      /^[-+ ] ?(cookie|group_id|table|.*actions)=/.test(line);
    const items = lines.filter(isItem).sort();
    return [...lines.filter((line) => !isItem(line)), ...items].join("\n");
  };

  /** Both, one after the other, each time on the state that the stock tool's calls leave. */
  const compare = async (
    cases: readonly (readonly string[])[],
    options: readonly string[],
  ): Promise<void> => {
    const clear = async (): Promise<void> => {
      for (const what of ["del-flows", "del-groups", "del-meters"]) {
        await run(["ovs-ofctl", "-O", "OpenFlow13", what, "br0"], {
          env: { OVS_RUNDIR: sw.runDir },
        });
      }
    };
    const all = async (command: string): Promise<Result[]> => {
      await clear();
      const results: Result[] = [];
      for (const words of cases) results.push(await call([command, ...options], words));
      return results;
    };
    const stock = await all("ovs-ofctl");
    const ours = await all(link);
    cases.forEach((words, i) => {
      expect({ words, ...ours[i]! }).toEqual({ words, ...stock[i]! });
    });
  };

  for (const version of ["OpenFlow10", "OpenFlow14"]) {
    test(`${version}: flows, ports, configuration, errors`, async () => {
      await compare(CASES, ["-O", version]);
    }, 60_000);
  }

  for (const version of ["OpenFlow10", "OpenFlow13", "OpenFlow15"]) {
    test(`${version}: groups`, async () => {
      await compare(GROUPS, ["-O", version]);
    }, 60_000);
  }

  test("meters, bundles", async () => {
    await compare(METERS, ["-O", "OpenFlow13"]);
    await compare(
      [
        ["--bundle", "add-flows", "br0", "FILE"],
        ["dump-flows", "br0"],
        ["--bundle", "add-flow", "br0", "actions=group:77"],
      ],
      ["-O", "OpenFlow14"],
    );
  }, 60_000);

  test("without a switch", async () => {
    await compare(ALONE, []);
  }, 60_000);

  test("solovs ofctl finds the version; the link names it", async () => {
    await sw.clients.vsctl("set bridge br0 protocols=OpenFlow14");
    try {
      const found = await call([...solovsCommand(), "ofctl"], ["dump-flows", "br0"]);
      expect(found).toMatchObject({ code: 0, stderr: "" });
      expect(found.stdout).toContain("OFPST_FLOW reply (OF1.4)");
      const linked = await call([link], ["dump-flows", "br0"]);
      expect(linked.code).toBe(1);
      expect(linked.stderr).toContain("failed to connect to socket (Protocol error)");
      expect(linked.stderr).toContain('add "-O OpenFlow14"');
    } finally {
      await sw.clients.vsctl("clear bridge br0 protocols");
    }
  }, 30_000);

  test("monitor in the background: packet-ins, a barrier, output to a file, exit", async () => {
    const env = { OVS_RUNDIR: sw.runDir };
    const log = join(dir, "monitor.log");
    const words = `monitor br0 65534 --detach --no-chdir --pidfile 2> ${dir}/stderr`;
    const started = await run(["sh", "-c", `${link} ${words}`], { env });
    expect(started).toMatchObject({ code: 0, stdout: "" });
    const appctl = async (...words: string[]): Promise<string> =>
      (await run(["ovs-appctl", "-t", "ovs-ofctl", ...words], { env })).stdout;
    try {
      expect(await appctl("version")).toContain("ovs-ofctl (Open vSwitch)");
      expect(await appctl("ofctl/set-output-file", log)).toBe("");
      const packet =
        "ffffffffffff0200000000010806000108000604000102000000000a0a000001000000000000" +
        "0a000002";
      await run(
        ["ovs-ofctl", "packet-out", "br0", `in_port=1 packet=${packet} actions=controller`],
        {
          env,
        },
      );
      expect(await appctl("ofctl/barrier")).toBe("");
      await eventually("the packet-in", () => {
        const text = readFileSync(log, "utf8");
        return text.includes("NXT_PACKET_IN2") && text.includes("arp,in_port") ||
          text.includes("arp,vlan_tci=0x0000");
      });
    } finally {
      await appctl("exit");
    }
    await eventually("the end", async () => {
      return (await run(["ovs-appctl", "-t", "ovs-ofctl", "version"], { env })).code !== 0;
    });
  }, 40_000);
});
