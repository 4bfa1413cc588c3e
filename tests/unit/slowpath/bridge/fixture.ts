/**
 * A whole switch without a network: the real database in memory of this process, the dummy datapath,
 * devices that tests make and take away.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openReplica, type Replica, type Row } from "../../../../src/db/replica.ts";
import { SWITCH_TABLES } from "../../../../src/cli/switch-tables.ts";
import { type DatabaseService, startDatabaseService } from "../../../../src/db/service.ts";
import { DummyDevices } from "../../../../src/fastpath/devices.ts";
import {
  type MemoryDatapath,
  openMemoryDatapath,
} from "../../../../src/fastpath/memory/datapath.ts";
import { LogSink } from "../../../../src/log/log.ts";
import { systemClock } from "../../../../src/slowpath/clock.ts";
import { startVswitch, type Vswitch } from "../../../../src/slowpath/vswitch.ts";

export class SwitchFixture {
  readonly log: string[] = [];
  private constructor(
    readonly dir: string,
    readonly service: DatabaseService,
    readonly replica: Replica,
    readonly devices: DummyDevices,
    readonly datapath: MemoryDatapath,
    private started: Vswitch | undefined,
  ) {}

  static async start(): Promise<SwitchFixture> {
    const dir = mkdtempSync(join(tmpdir(), "solovs-switch-"));
    const quiet = new LogSink(() => {}, "off");
    const service = startDatabaseService({
      dbFile: join(dir, "conf.sqlite"),
      sockets: [],
      logger: quiet.logger("db"),
    });
    const replica = await openReplica(service.openSession("test"), SWITCH_TABLES);
    const fixture = new SwitchFixture(
      dir,
      service,
      replica,
      new DummyDevices(),
      openMemoryDatapath(),
      undefined,
    );
    await fixture.startSwitch();
    return fixture;
  }

  async startSwitch(datapath: MemoryDatapath = this.datapath): Promise<void> {
    this.started = await startVswitch({
      replica: this.replica,
      openDatapath: () => Promise.resolve(datapath),
      devices: this.devices,
      clock: systemClock(),
      log: new LogSink((line) => this.log.push(line)),
      runDir: this.dir,
    });
  }

  get vswitch(): Vswitch {
    return this.started!;
  }

  /** Ends the switch, as when the daemon is stopped; the database goes on. */
  async stopSwitch(): Promise<void> {
    await this.started?.close();
    this.started = undefined;
  }

  async stop(): Promise<void> {
    await this.stopSwitch();
    this.replica.close();
    this.service.close();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Waits until `test` holds; what has to happen for it is already under way. */
  async until(test: () => boolean): Promise<void> {
    for (let turn = 0; turn < 2000 && !test(); turn++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    if (!test()) throw new Error(`never came true: ${test}\n${this.log.join("\n")}`);
  }

  /** Changes the database as ovs-vsctl does, and waits for the switch as it does. */
  async change(build: Parameters<Replica["transact"]>[0]): Promise<void> {
    const root = this.root;
    await this.replica.transact((txn) => {
      build(txn);
      txn.mutate("Open_vSwitch", root._uuid, "next_cfg", "+=", 1);
    });
    const goal = this.root.next_cfg;
    await this.until(() => this.root.cur_cfg >= goal);
  }

  get root(): Row<"Open_vSwitch"> {
    return this.replica.rows("Open_vSwitch").values().next().value!;
  }

  addBridge(name: string, columns: Partial<Row<"Bridge">> = {}): Promise<void> {
    return this.change((txn) => {
      const iface = txn.insert("Interface", { name, type: "internal" });
      const port = txn.insert("Port", { name, interfaces: [iface] });
      const bridge = txn.insert("Bridge", { name, ports: [port], ...columns });
      txn.mutate("Open_vSwitch", this.root._uuid, "bridges", "insert", [bridge]);
    });
  }

  addPort(
    bridge: string,
    name: string,
    iface: Partial<Row<"Interface">> = {},
    port: Partial<Row<"Port">> = {},
  ): Promise<void> {
    return this.change((txn) => {
      const ifaceUuid = txn.insert("Interface", { name, ...iface });
      const portUuid = txn.insert("Port", { name, interfaces: [ifaceUuid], ...port });
      txn.mutate("Bridge", this.bridge(bridge)._uuid, "ports", "insert", [portUuid]);
    });
  }

  deletePort(bridge: string, name: string): Promise<void> {
    const port = [...this.replica.rows("Port").values()].find((row) => row.name === name)!;
    return this.change((txn) => {
      txn.mutate("Bridge", this.bridge(bridge)._uuid, "ports", "delete", [port._uuid]);
    });
  }

  bridge(name: string): Row<"Bridge"> {
    return [...this.replica.rows("Bridge").values()].find((row) => row.name === name)!;
  }

  iface(name: string): Row<"Interface"> {
    return [...this.replica.rows("Interface").values()].find((row) => row.name === name)!;
  }

  setIface(name: string, columns: Partial<Row<"Interface">>): Promise<void> {
    return this.change((txn) => txn.update("Interface", this.iface(name)._uuid, columns));
  }

  /** OpenFlow port numbers of a bridge's attached ports, by name. */
  ofports(bridge: string): Record<string, number> {
    const found = this.vswitch.bridges().find(({ name }) => name === bridge);
    return Object.fromEntries((found?.ports ?? []).map(({ name, ofport }) => [name, ofport]));
  }
}
