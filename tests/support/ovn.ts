/**
 * OVN beside the switch: the two central databases, `ovn-northd`, and one `ovn-controller` for each
 * chassis, all stock, with run directories of their own. What OVN asks of a switch is judged by what
 * packets then do.
 */
import { must, run } from "./exec.ts";
import { eventually } from "./eventually.ts";
import type { Background } from "./exec.ts";
import type { Namespace, Sandbox } from "./netns.ts";
import type { RunningSwitch } from "./switch.ts";

export const OVN_TOOLS = [
  "ovn-northd",
  "ovn-controller",
  "ovn-nbctl",
  "ovn-sbctl",
  "ovsdb-server",
  "ovsdb-tool",
] as const;

/** The northbound and southbound databases and the daemon between them. */
export class OvnCentral {
  private constructor(readonly dir: string) {}

  static async start(sandbox: Sandbox): Promise<OvnCentral> {
    const it = new OvnCentral(sandbox.tempDir("ovn"));
    for (const name of ["nb", "sb"]) {
      const file = `${it.dir}/${name}.db`;
      await must(["ovsdb-tool", "create", file, `/usr/share/ovn/ovn-${name}.ovsschema`]);
      sandbox.spawn([
        "ovsdb-server",
        `--remote=punix:${it.dir}/${name}.sock`,
        `--unixctl=${it.dir}/${name}.ctl`,
        file,
      ], { env: it.env });
    }
    await eventually("both databases answer", async () => {
      const answers = await Promise.all(
        ["nb", "sb"].map((name) =>
          run(["ovsdb-client", "--timeout=2", "list-dbs", `unix:${it.dir}/${name}.sock`])
        ),
      );
      return answers.every(({ code }) => code === 0);
    }, { timeoutMs: 20_000 });
    sandbox.spawn([
      "ovn-northd",
      `--ovnnb-db=unix:${it.dir}/nb.sock`,
      `--ovnsb-db=unix:${it.dir}/sb.sock`,
      `--unixctl=${it.dir}/northd.ctl`,
    ], { env: it.env });
    await it.nbctl("init");
    return it;
  }

  get env(): Record<string, string> {
    return {
      OVN_RUNDIR: this.dir,
      OVN_LOGDIR: this.dir,
      OVS_RUNDIR: this.dir,
      OVN_DBDIR: this.dir,
    };
  }

  /** `ovn-nbctl`, its words split on spaces; `--` between commands, `'` is not understood. */
  async nbctl(words: string | readonly string[]): Promise<string> {
    const list = typeof words === "string" ? words.trim().split(/\s+/) : words;
    const db = `--db=unix:${this.dir}/nb.sock`;
    return (await must(["ovn-nbctl", "--timeout=20", db, ...list], { env: this.env })).trim();
  }

  async sbctl(words: string): Promise<string> {
    const db = `--db=unix:${this.dir}/sb.sock`;
    const argv = ["ovn-sbctl", "--timeout=20", db, ...words.split(" ")];
    return (await must(argv, { env: this.env })).trim();
  }

  /** Waits until every chassis has done what the northbound database says. */
  async sync(): Promise<void> {
    await this.nbctl("--wait=hv sync");
  }
}

/** A switch that OVN drives. */
export class Chassis {
  private constructor(
    readonly name: string,
    readonly sw: RunningSwitch,
    private readonly controller: Background,
  ) {}

  /** Starts `ovn-controller` on the switch; `encapIp` is its end of tunnels to other chassis. */
  static async start(
    sandbox: Sandbox,
    central: OvnCentral,
    sw: RunningSwitch,
    name: string,
    encapIp = "127.0.0.1",
  ): Promise<Chassis> {
    const ids = [
      `system-id=${name}`,
      `ovn-remote=unix:${central.dir}/sb.sock`,
      "ovn-encap-type=geneve",
      `ovn-encap-ip=${encapIp}`,
      ...(sw.kind === "stock" ? ["ovn-bridge-datapath-type=netdev"] : []),
    ];
    await sw.clients.vsctl("set", "open_vswitch", ".", ...ids.map((id) => `external_ids:${id}`));
    const dir = sandbox.tempDir(name);
    const controller = sw.ns.spawn([
      "ovn-controller",
      `unix:${sw.runDir}/db.sock`,
      "-vconsole:info",
    ], {
      env: { OVS_RUNDIR: sw.runDir, OVN_RUNDIR: dir, OVN_LOGDIR: dir, OVS_LOGDIR: dir },
    });
    sandbox.defer(async () => {
      controller.signal("SIGTERM");
      await controller.ended(5000);
      controller.killNow();
    });
    const chassis = new Chassis(name, sw, controller);
    try {
      await eventually(`${name} has registered`, async () => {
        return (await central.sbctl("--bare --columns=name list chassis")).includes(name);
      }, { timeoutMs: 20_000 });
    } catch (error) {
      throw new Error(`${String(error)}\n${chassis.log()}`);
    }
    return chassis;
  }

  log(): string {
    return this.controller.log;
  }

  /** Lines of the controller's log about errors from the switch; none in a run that went well. */
  openFlowErrors(): string[] {
    return this.log().split("\n").filter((line) => /OFPT_ERROR|OpenFlow error/i.test(line));
  }
}

export interface Workload {
  readonly ns: Namespace;
  readonly ip: string;
  readonly mac: string;
}

/**
 * A host whose cable ends on `br-int` as the logical port `name`. `address` is in CIDR form (IPv6
 * too), or undefined: it will be leased.
 */
export async function addWorkload(
  sandbox: Sandbox,
  chassis: Chassis,
  name: string,
  mac: string,
  address: string | undefined,
  gateway?: string,
): Promise<Workload> {
  const ns = await sandbox.netns(name);
  const { sw } = chassis;
  await sandbox.veth({ ns, name: "eth0", address: mac }, { ns: sw.ns, name });
  // Open vSwitch's own user space connection tracker takes unfinished checksums for wrong ones.
  if (sw.kind === "stock") await ns.must(["ethtool", "-K", "eth0", "tx", "off"]);
  if (address !== undefined) await ns.ip(`addr add ${address} dev eth0`);
  if (gateway !== undefined) await ns.ip(`route add default via ${gateway}`);
  const id = `external_ids:iface-id=${name}`;
  await sw.clients.vsctl(`add-port br-int ${name} -- set interface ${name} ${id}`);
  return { ns, ip: address?.replace(/\/.*$/, "") ?? "", mac };
}
