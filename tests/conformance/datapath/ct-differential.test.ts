/**
 * Connections in the kernel against connections in userspace: the same random conversations, through
 * the same flows, make the same bytes come out, by which every packet's ct_state is told, the same
 * statistics of flows, and the same connections, states and marks in both trackers.
 *
 * Random numbers come from `SOLOVS_SEED`; `SOLOVS_CT_ROUNDS` runs more.
 */
import { expect, test } from "bun:test";
import type { CtAction, DpAction } from "../../../src/fastpath/actions.ts";
import type { FieldName } from "../../../src/packet/fields.ts";
import { maskField } from "../../../src/packet/key.ts";
import { FIELDS } from "../../../src/packet/layout.ts";
import { describePrivileged } from "../../support/privileged.ts";
import { Seeded } from "../../support/seeded.ts";
import { type Bench, matchOf, output, set } from "./bench.ts";
import { endsOf, ip } from "./ct-bench.ts";
import { Conversation, type Side } from "./random-connections.ts";
import { twoDatapaths } from "./two-datapaths.ts";

const ROUNDS = Number(process.env.SOLOVS_CT_ROUNDS ?? 6);
const PACKETS = 120;
const LABEL = { value: new Uint8Array(16).fill(0x5a), mask: new Uint8Array(16).fill(0x0f) };

/** Of ct_state: what there can be, but for NAT's bits. */
const BASES = [0x21, 0x22, 0x2a, 0x30, 0x32, 0x24, 0x2c, 0x25];
const NATS = [0, 0x40, 0x80, 0xc0];

interface Scene {
  readonly v6: boolean;
  readonly nat: CtAction["nat"];
  readonly marks: boolean;
  /** What a known connection's packets go through besides. */
  readonly more: "nothing" | "same zone" | "other zone" | "other zone, recirculated";
  /** Something is done before the first ct. */
  readonly late: boolean;
}

/** What is rare by chance comes in turn. */
function sceneOf(r: Seeded, round: number): Scene {
  const v6 = r.next(3) === 0;
  const address = ip(v6 ? "fd00::99" : "10.0.9.9");
  const nats: CtAction["nat"][] = [
    undefined,
    { direction: "src", addresses: { min: address } },
    { direction: "dst", addresses: { min: address }, ports: { min: 8080 } },
    {},
    { direction: "src", addresses: { min: address }, ports: { min: 5000, max: 6000 } },
  ];
  const more =
    (["nothing", "same zone", "other zone, recirculated", "other zone"] as const)[round % 4]!;
  return {
    v6,
    nat: nats[round % nats.length],
    marks: more === "same zone" || r.next(2) === 0,
    more,
    late: r.next(3) === 0,
  };
}

function put(
  bench: Bench,
  id: number,
  from: Side,
  fields: Partial<Record<FieldName, string>>,
  actions: readonly DpAction[],
): void {
  const match = matchOf(fields);
  match.key.set(FIELDS.in_port_oxm, bench.wires[from]!.port.portNo);
  maskField(match.mask, FIELDS.in_port_oxm);
  bench.install({ id, match, actions });
}

/** The flows of a scene; their numbers. */
function install(bench: Bench, { v6, nat, marks, more, late }: Scene): number[] {
  const ids: number[] = [];
  const eth_type = v6 ? "0x86dd" : "0x800";
  const again = nat && { nat: {} };
  for (const from of [0, 1] as const) {
    // Both directions' differ in a bit: it changes whenever the other side has its turn.
    const mark = { value: 0x107 & ~(from << 8), mask: 0x1ff };
    const written = marks ? { mark, label: LABEL } : {};
    let id = 1 + 400 * from;
    const add = (
      fields: Partial<Record<FieldName, string>>,
      actions: readonly DpAction[],
    ): void => {
      ids.push(id);
      put(bench, id++, from, { eth_type, ...fields }, actions);
    };
    const out = output(bench.wires[1 - from]!);
    const before = late ? [set("eth_dst", 0x0200_0000_ff01n)] : [];
    add({ recirc_id: "0", ct_state: "-trk" }, [
      ...before,
      { type: "ct", zone: 1, ...again },
      { type: "recirc", id: 1 },
    ]);
    for (const base of BASES) {
      for (const bits of NATS) {
        const state = base | bits;
        const shown = (stage: number) =>
          set("eth_src", BigInt(0x0200_0000_0000 + stage * 256 + state));
        const ct_state = `0x${state.toString(16)}/0xff`;
        const isKnown = (state & 2) !== 0 && (state & 0x10) === 0;
        const recirculates = isKnown && more === "other zone, recirculated";
        const tracked: DpAction[] = (state & 1) !== 0
          ? [{ type: "ct", zone: 1, commit: true, ...(nat && { nat }), ...written }]
          : !isKnown || more === "nothing"
          ? []
          : more === "same zone"
          ? [{ type: "ct", zone: 1, commit: true, ...again, ...written }]
          : [{ type: "ct", zone: 2, commit: true }];
        const marked = isKnown && marks ? { ct_mark: "7/0xff" } : {};
        add(
          { recirc_id: "1", ct_state, ...marked },
          recirculates
            ? [shown(1), ...tracked, { type: "recirc", id: 2 }]
            : [...tracked, shown(1), out],
        );
        add({ recirc_id: "2", ct_state }, [set("eth_dst", BigInt(0x0200_0000_2000 + state)), out]);
      }
    }
  }
  return ids;
}

describePrivileged("connections in the kernel and in userspace are the same", [], () => {
  const benches = twoDatapaths();

  const [kernel, userspace] = [() => benches[0]!, () => benches[1]!];
  const seeds = new Seeded();
  for (let round = 0; round < ROUNDS; round++) {
    const seed = seeds.next(1 << 30);
    test(`round ${round}`, async () => {
      const r = new Seeded(seed);
      const scene = sceneOf(r, round);
      let ids: number[] = [];
      const checks = round % 7 !== 4;
      for (const bench of benches) {
        await bench.datapath.conntrack.flush();
        bench.datapath.conntrack.setTcpSequenceChecks(checks);
        await bench.reset();
        ids = install(bench, scene);
        await bench.datapath.barrier();
      }
      const prefix = scene.v6 ? "fd00::" : "10.0.0.";
      const talks = Array.from({ length: 4 }, (_, i) =>
        new Conversation(r, {
          a: `${prefix}${1 + (i & 1)}`,
          b: `${prefix}8`,
          aPort: 4000 + i,
          bPort: 80,
        }, round % 3 === 0));
      for (let n = 0; n < PACKETS; n++) {
        const talk = r.pick(talks);
        const { from, data } = talk.packet();
        // The header's checksum; programs do not look at layer 4's (docs/ebpf.md, "Connections").
        if (!scene.v6 && r.next(20) === 0) data[24]! ^= 1;
        const outs = [];
        for (const bench of benches) {
          bench.wires[from]!.send({ data });
          const sent = await bench.outputs(bench.wires[from]);
          outs.push(
            Object.entries(sent).map(([name, each]) => [
              name,
              ...each.map((packet) => packet.data.toHex()),
            ]),
          );
        }
        const what = `packet ${n} from ${from}: ${data.toHex()} of ${JSON.stringify(scene, hexed)}`;
        expect([what, outs[0]]).toEqual([what, outs[1]]);
        const [only] = outs[1]!;
        if (from === 0 && only?.[0] === "b") talk.arrived(endsOf(Uint8Array.fromHex(only[1]!)));
        if (n % 8 === 0) {
          const [dumped, wanted] = await Promise.all(benches.map(connections));
          expect([what, dumped]).toEqual([what, wanted]);
        }
        if (r.next(60) === 0) {
          for (const bench of benches) await bench.datapath.conntrack.flush({ zone: 1 });
        }
      }
      const seen = [];
      for (const bench of benches) {
        const stats = ids.map((id) => {
          const { packets, bytes, tcpFlags } = bench.datapath.flowStats(id);
          return [id, packets, bytes, tcpFlags];
        });
        const counted = ["ct_new", "upcalls"].map((name) => bench.counted(name));
        seen.push({ stats, counted, dumped: await connections(bench) });
      }
      expect(seen[0]).toEqual(seen[1]!);
      // And it was the kernel that did it.
      for (const id of ids) {
        expect(kernel().datapath.flowPlace!(id)).toEqual({ place: "ebpf" });
      }
    }, 30_000);
  }

  test("many of the packets were the kernel's alone", () => {
    expect(userspace().datapath.counters()["ct_kernel_hits"]).toBeUndefined();
    expect(kernel().datapath.counters()["ct_kernel_hits"]).toBeGreaterThan(ROUNDS * PACKETS / 4);
  });
});

/** All that is known of them; times to a quarter of a minute, which none of them ends at. */
async function connections({ datapath }: Bench): Promise<string[]> {
  return (await datapath.conntrack.dump()).map(({ timeoutMs, ...entry }) =>
    JSON.stringify({ ...entry, left: Math.floor((timeoutMs + 7000) / 15_000) }, hexed)
  ).sort();
}

function hexed(_name: string, value: unknown): unknown {
  return value instanceof Uint8Array ? value.toHex() : value;
}
