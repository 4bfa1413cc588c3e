/** Flows, groups and meters that survive a restart: what comes back from the file, and from half of it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogSink } from "../../../../src/log/log.ts";
import { parseFlow } from "../../../../src/openflow/text/flow.ts";
import { formatFlow } from "../../../../src/openflow/text/flow.ts";
import { METER_FLAGS } from "../../../../src/openflow/messages/types.ts";
import { anyMatch } from "../../../../src/packet/key.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { KeptFlows } from "../../../../src/slowpath/control/kept-flows.ts";
import { describeRule } from "../../../../src/slowpath/control/requests/flows.ts";
import { TlvTable } from "../../../../src/slowpath/control/tlv-table.ts";
import { FlowTables } from "../../../../src/slowpath/pipeline/tables.ts";
import { bucket, groupMod, output } from "./agent-rig.ts";

const EVERYTHING = {
  table: 0xff,
  match: anyMatch(),
  outPort: 0xffff,
  outGroup: 0xffffffff,
  cookie: 0n,
  cookieMask: 0n,
};
let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "kept-flows-"));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

const path = () => join(stateDir, "flows", "br0.jsonl");

class Life {
  readonly clock = new ManualClock();
  readonly logged: string[] = [];
  readonly tables = new FlowTables(this.clock);
  readonly tlvTable = new TlvTable();
  readonly kept = new KeptFlows({
    bridge: "br0",
    tables: this.tables,
    tlvTable: this.tlvTable,
    clock: this.clock,
    log: new LogSink((line) => this.logged.push(line), "info").logger("test"),
    stateDir,
  });

  constructor() {
    this.kept.configure(true);
  }

  add(text: string): void {
    const mod = parseFlow(text, { command: "add", names: this.names });
    this.tables.apply({ ...mod, table: mod.table === 0xff ? 0 : mod.table });
  }

  remove(text: string): void {
    this.tables.apply(parseFlow(text, { command: "delete" }));
  }

  get names() {
    return { nameOf: () => undefined, numberOf: () => undefined, tunnelFields: this.tlvTable };
  }

  /** As dump-flows without statistics shows them. */
  flows(): string[] {
    return [...this.tables.select(EVERYTHING)]
      .map((rule) =>
        formatFlow(describeRule(rule, this.clock.now()), { stats: false, names: this.names })
      ).sort();
  }
}

const FLOWS = [
  "table=3,priority=7,cookie=0x1234,idle_timeout=60,hard_timeout=3600,importance=4,send_flow_rem," +
  "tcp,in_port=1,dl_vlan=9,tp_dst=80 actions=mod_vlan_vid:7,load:0x5->NXM_NX_REG3[0..7],output:2",
  "priority=0 actions=NORMAL",
  "table=1,ip,nw_src=10.0.0.0/8 actions=learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])," +
  "controller(userdata=01.02,max_len=64),group:5",
  "table=1,ipv6,reg0=0x7/0xf actions=drop",
];

describe("kept flows", () => {
  test("are what they were, in the next life", () => {
    const first = new Life();
    first.tables.groups.apply(groupMod({
      group: 5,
      groupType: "select",
      buckets: [bucket(0, { weight: 3, actions: [output(2)] })],
      selection: { method: "hash", parameter: 0n, fields: [] },
    }));
    first.tables.meters.add({
      meter: 8,
      flags: METER_FLAGS.KBPS,
      bands: [{ type: "drop", rate: 100, burst: 10 }],
    });
    first.kept.metersChanged();
    for (const flow of FLOWS) first.add(flow);
    first.kept.flush();
    const flows = first.flows();
    expect(flows).toHaveLength(FLOWS.length);
    // No close: the process was killed.
    const second = new Life();
    expect(second.flows()).toEqual(flows);
    expect(second.tables.groups.get(5)?.buckets).toEqual(first.tables.groups.get(5)!.buckets);
    expect(second.tables.groups.get(5)?.selection).toEqual({
      method: "hash",
      parameter: 0n,
      fields: [],
    });
    expect(second.tables.meters.select(8)[0]!.config)
      .toEqual(first.tables.meters.select(8)[0]!.config);
    second.kept.close();
  });

  test("that went stay away, and so do groups and meters", () => {
    const first = new Life();
    first.tables.groups.apply(groupMod({ group: 5, buckets: [bucket(0)] }));
    const band = { type: "drop", rate: 1, burst: 1 } as const;
    first.tables.meters.add({ meter: 1, flags: METER_FLAGS.KBPS, bands: [band] });
    first.kept.metersChanged();
    for (const flow of FLOWS) first.add(flow);
    first.remove("table=3");
    first.tables.groups.apply(groupMod({ command: "delete", group: 5 }));
    first.tables.meters.delete(1);
    first.kept.metersChanged();
    first.kept.flush();
    const second = new Life();
    expect(second.flows()).toEqual(first.flows());
    expect(second.tables.groups.size).toBe(0);
    expect(second.tables.meters.get(1)).toBeUndefined();
  });

  test("with tunnel options bring their table along", () => {
    const first = new Life();
    first.tlvTable.apply({
      type: "tlv_table_mod",
      command: "add",
      mappings: [{ optionClass: 0x102, optionType: 0x80, optionLength: 4, index: 3 }],
    });
    first.kept.tunnelOptionsChanged();
    first.add("tun_metadata3=0x1234 actions=drop");
    first.kept.flush();
    expect(first.flows()[0]).toContain("tun_metadata3=0x1234");
    expect(new Life().flows()).toEqual(first.flows());
  });

  test("a half-written line and one that makes no sense cost nothing else", () => {
    const first = new Life();
    first.add(FLOWS[0]!);
    first.kept.flush();
    appendFileSync(path(), '{"flow":"actions=no_such_action"}\n{"flow":"priority=1 act');
    const second = new Life();
    expect(second.flows()).toEqual(first.flows());
    expect(second.logged.join("\n")).toContain("no_such_action");
  });

  test("of the past leave the file when they are too many", () => {
    const life = new Life();
    for (let i = 0; i < 3000; i++) life.add(`priority=5 actions=output:${i % 100 + 1}`);
    life.kept.flush();
    expect(readFileSync(path(), "utf8").split("\n").length).toBeLessThan(1500);
    expect(new Life().flows()).toEqual(life.flows());
  });

  test("are forgotten when the setting is taken away", () => {
    const life = new Life();
    life.add(FLOWS[0]!);
    life.kept.flush();
    expect(existsSync(path())).toBe(true);
    life.kept.configure(false);
    expect(existsSync(path())).toBe(false);
    expect(life.flows()).toHaveLength(1);
  });
});
