/**
 * After any change to tables or MACs, each packet that a megaflow in the datapath takes is treated as
 * a translation made from scratch says: what is revalidated selectively is enough.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Datapath, DpFlow } from "../../../../src/fastpath/datapath.ts";
import { OfError } from "../../../../src/openflow/errors.ts";
import type { Action } from "../../../../src/openflow/actions/types.ts";
import { LogSink } from "../../../../src/log/log.ts";
import type { FlowKey } from "../../../../src/packet/key.ts";
import { FIELDS } from "../../../../src/packet/layout.ts";
import { FlowCache } from "../../../../src/slowpath/cache/flow-cache.ts";
import { sameActions } from "../../../../src/fastpath/actions.ts";
import { NO_CONNTRACK } from "../../../../src/fastpath/conntrack/none.ts";
import { Punts } from "../../../../src/slowpath/cache/punts.ts";
import { RecirculationIds } from "../../../../src/slowpath/cache/recirculation.ts";
import { References } from "../../../../src/slowpath/cache/references.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import type { BridgeModel } from "../../../../src/slowpath/pipeline/model.ts";
import { translate } from "../../../../src/slowpath/pipeline/translate.ts";
import { ALL, flowMod, type FlowOptions, type LabBridge } from "../pipeline/lab.ts";
import { build, flow, GROUPS, MACS, packetKey, PORT_NUMBERS, scene } from "../pipeline/scenes.ts";

/** Without goto, which not every table may have. */
const plain = (actions: readonly Action[]) => actions.filter(({ type }) => type !== "goto_table");

/** Deletes or modifies the n-th rule. */
function touch(bridge: LabBridge, n: number, options: FlowOptions): void {
  const rules = [...bridge.tables.select(ALL)];
  if (rules.length === 0) return;
  const { table, priority, home, slot } = rules[n % rules.length]!;
  bridge.tables.apply({ ...flowMod({ ...options, table, priority }), match: home!.match(slot) });
}

const change = fc.oneof(
  flow.map((options) => (bridge: LabBridge) => bridge.tables.apply(flowMod(options))),
  fc.nat().map((n) => (bridge: LabBridge) => touch(bridge, n, { command: "delete_strict" })),
  fc.tuple(fc.nat(), flow).map(([n, { actions }]) => (bridge: LabBridge) =>
    touch(bridge, n, { command: "modify_strict", actions: plain(actions ?? []) })
  ),
  fc.tuple(fc.constantFrom(0, 10, 20), fc.nat(1), fc.nat(3)).map(([vlan, mac, port]) =>
  (
    bridge: LabBridge,
  ) => {
    const { bundle } = bridge.ports.get(PORT_NUMBERS[port]!)!;
    bridge.macs.learn(vlan, Number(MACS[mac]!), bundle);
  }),
  fc.tuple(fc.nat(3), fc.nat(3)).map(([which, body]) => (bridge: LabBridge) => {
    const { group } = GROUPS[which]!;
    if (!bridge.tables.groups.get(group)) return bridge.tables.groups.apply(GROUPS[which]!);
    if (body === 0) {
      const gone = { command: "delete", groupType: "all", group, buckets: [] } as const;
      return bridge.tables.groups.apply(gone);
    }
    const { groupType, buckets } = GROUPS[body === 3 ? 1 : body]!;
    const plainBuckets = buckets.filter(({ actions }) => actions[0]?.type !== "group");
    bridge.tables.groups.apply({ command: "modify", group, groupType, buckets: plainBuckets });
  }),
  fc.constant((bridge: LabBridge) => bridge.macs.flush()),
  fc.constant((bridge: LabBridge) =>
    bridge.tables.modify({ type: "table_mod", table: 0, miss: "continue" })
  ),
);

/** A datapath that only remembers its flows. */
function recorder() {
  const flows = new Map<number, DpFlow>();
  const nothing = { packets: 0, bytes: 0, lastUsedMs: 0, tcpFlags: 0 };
  const datapath: Datapath = {
    type: "dummy",
    maxFlows: 1000,
    listen() {},
    addPort: () => Promise.reject(new Error("none")),
    removePort: () => Promise.resolve(),
    ports: () => new Map(),
    portStats: () => undefined,
    putFlow: (flow) => void flows.set(flow.id, flow),
    deleteFlow: (id) => void flows.delete(id),
    flowStats: () => nothing,
    execute() {},
    setMeter() {},
    deleteMeter() {},
    meterStats: () => undefined,
    conntrack: NO_CONNTRACK,
    setVlanLimit() {},
    barrier: () => Promise.resolve(),
    counters: () => ({}),
    close: () => Promise.resolve(),
  };
  return { datapath, flows };
}

function toDatapath(key: FlowKey): FlowKey {
  const dpKey = key.clone();
  dpKey.set(FIELDS.in_port, key.get(FIELDS.in_port) + 100);
  return dpKey;
}

/** Bridges that are patched to `first`, itself included. */
function reachable(first: LabBridge): BridgeModel[] {
  const peers = [...first.ports.values()].flatMap(({ patchPeer }) =>
    patchPeer ? [patchPeer.bridge] : []
  );
  return [first, ...peers];
}

test("megaflows say what translation says, after every change", async () => {
  let checked = 0;
  let kept = 0;
  await fc.assert(
    fc.asyncProperty(
      scene,
      fc.array(packetKey, { minLength: 1, maxLength: 12 }),
      fc.array(packetKey, { minLength: 20, maxLength: 20 }),
      fc.array(change, { minLength: 1, maxLength: 6 }),
      async (given, keys, probes, changes) => {
        const bridge = build(given);
        const { datapath, flows } = recorder();
        const clock = new ManualClock();
        const cache = new FlowCache({
          datapath,
          clock,
          log: new LogSink(() => {}).logger("test"),
          attachment: (dpPort) => {
            const port = bridge.ports.get(dpPort - 100);
            return port && { bridge, port };
          },
          defer: queueMicrotask,
          datapathNow: () => clock.now(),
        });
        for (const each of reachable(bridge)) cache.addBridge(each);
        for (const key of keys) {
          const packet = { data: new Uint8Array(60) };
          cache.upcall({ reason: "miss", packet, key: toDatapath(key), userdata: 0 });
        }
        await cache.settle();
        const references = new References(new Punts(clock), new RecirculationIds(clock));
        for (const apply of changes) {
          const before = cache.counters().revalidator_retranslated!;
          try {
            apply(bridge);
          } catch (error) {
            // A group that is gone: nothing has changed.
            if (!(error instanceof OfError)) throw error;
          }
          await cache.settle();
          kept += flows.size - (cache.counters().revalidator_retranslated! - before);
          expect(flows.size).toBe(cache.flows.size);
          for (const key of [...keys, ...probes]) {
            const dpKey = toDatapath(key);
            const megaflow = cache.flows.find(dpKey);
            if (!megaflow) continue;
            const fresh = translate({ bridge, key, ...references });
            const installed = flows.get(megaflow.id)!;
            // Numbers of punts differ between the two, everything else may not.
            const strip = (actions: DpFlow["actions"]) =>
              actions.map((a) =>
                a.type === "userspace" ? { type: a.type, userdata: 0 } as const : a
              );
            expect(sameActions(strip(installed.actions), strip(fresh.actions))).toBe(true);
            checked++;
          }
        }
      },
    ),
    { numRuns: 400 },
  );
  expect(checked).toBeGreaterThan(1000);
  // Most changes leave most megaflows alone.
  expect(kept).toBeGreaterThan(checked / 4);
}, 60_000);
