/**
 * What a packet costs in the in-kernel datapath's programs, from the port's entry to the decision, and
 * how large they are: as a function of the fields that flows look at, of the masks that are tried and
 * of the flows there are. The programs run by BPF_PROG_TEST_RUN, without interfaces and receivers, so
 * a busy machine disturbs little: the least of some runs counts. The packet is UDP over IPv4, its flow
 * has the last mask.
 *
 *   npm run bench -- ebpf-program
 */
import { KernelFlows } from "../../src/fastpath/ebpf/kernel-flows.ts";
import { kernelMask, KeyLayout } from "../../src/fastpath/ebpf/key-layout.ts";
import { assembleEntry, assembleMain } from "../../src/fastpath/ebpf/main-program.ts";
import { closeMaps, createLayoutMaps, openDatapathMaps } from "../../src/fastpath/ebpf/maps.ts";
import { machineShards } from "../../src/fastpath/ebpf/shards.ts";
import { loadTcProgram, programInfo, testProgram } from "../../src/linux/bpf-program.ts";
import { close } from "../../src/linux/libc.ts";
import { LogSink } from "../../src/log/log.ts";
import { buildFrame } from "../../src/packet/headers.ts";
import { matchOf } from "../conformance/datapath/bench.ts";

type Fields = Parameters<typeof matchOf>[0];

const MASKS = [1, 8, 32, 128];
const FLOWS = [1, 100_000];
const RUNS = 400;
const REPEAT = 3000;
const PORT = 1;
const MAX_FLOWS = 1 << 18;
/** What the kernel answers of a packet that a program redirects. */
const TC_ACT_REDIRECT = 7;

const frame = buildFrame({
  ipv4: { src: "10.0.0.1", dst: "10.0.0.2" },
  udp: { src: 1000, dst: 2000 },
  payload: 22,
});
const [dst, src] = [frame.subarray(0, 6), frame.subarray(6, 12)].map((mac) =>
  mac.toHex().replace(/..(?=.)/g, "$&:")
);

const PORT_ONLY: Fields = { in_port_oxm: String(PORT) };
const NORMAL: Fields = {
  ...PORT_ONLY,
  ...{ eth_src: src!, eth_dst: dst!, eth_type: "0x800", vlan_tci: "0x0/0x1fff" },
};
const TUPLE: Fields = {
  ...NORMAL,
  ...{ ip_src: "10.0.0.1", ip_dst: "10.0.0.2", nw_proto: "17", udp_src: "1000", udp_dst: "2000" },
};
/** Some flow is of packets that have recirculated. */
const ROUND: Fields = { recirc_id: "1", dp_hash: "0x1/0xff" };
const LAYOUTS: readonly (readonly [string, Fields, Fields?])[] = [
  ["nothing", {}],
  ["the input port", PORT_ONLY],
  ["a learning switch (ports, MACs, type, VLAN)", NORMAL],
  ["the same with the 5-tuple", TUPLE],
  ["the same, when packets recirculate by a hash", TUPLE, ROUND],
];

/** The least nanoseconds of a packet; `fill` puts the flows. */
function measure(alwaysExact: boolean, fill: (put: (fields: Fields) => void) => void): number {
  const maps = openDatapathMaps(MAX_FLOWS);
  const kernel = new KernelFlows({
    maps,
    puntIfindex: 1,
    maxFlows: MAX_FLOWS,
    half: 0,
    held: false,
    alwaysExact,
    receives: () => true,
    targetOf: () => ({ ifindex: 1, ingress: false }),
    logger: new LogSink(() => {}).logger("bench"),
  });
  let id = 0;
  fill((fields) =>
    kernel.put({ id: id++, match: matchOf(fields), actions: [{ type: "output", port: 2 }] })
  );
  kernel.flush();
  const entry = loadTcProgram(assembleEntry(PORT, maps.programs).bytes, "bench");
  let best = Infinity;
  for (let i = 0; i < RUNS; i++) {
    const { result, nanoseconds } = testProgram(entry, frame, REPEAT);
    if (result !== TC_ACT_REDIRECT) throw new Error(`the packet was not redirected: ${result}`);
    best = Math.min(best, nanoseconds);
  }
  close(entry);
  kernel.close();
  closeMaps(maps);
  return best;
}

/** Size of the main program for a layout. */
function size(layout: KeyLayout): string {
  const maps = openDatapathMaps(16);
  const fresh = createLayoutMaps(layout, 16);
  const all = { ...maps, ...fresh, ifindex: 1, shards: machineShards() };
  const { bytes } = assembleMain(layout, all, 2);
  const fd = loadTcProgram(bytes, "bench");
  const { jitBytes, verifiedInstructions } = programInfo(fd);
  close(fd);
  closeMaps(fresh);
  closeMaps(maps);
  return `${layout.bytes} | ${bytes.length / 8} | ${jitBytes} | ${verifiedInstructions}`;
}

console.log("| key of | key bytes | instructions | bytes of code | instructions verified | ns |");
console.log("| --- | --: | --: | --: | --: | --: |");
for (const [name, fields, more] of LAYOUTS) {
  const all = more ? [more, fields] : [fields];
  const layout = all.reduce(
    (known, each) => known.with(kernelMask(matchOf(each))!),
    KeyLayout.empty(),
  );
  console.log(`| ${name} | ${size(layout)} | ${measure(false, (put) => all.forEach(put))} |`);
}
console.log(`| everything that programs read | ${size(KeyLayout.full())} | |`);
console.log(`| everything, and all metadata | ${size(KeyLayout.widest())} | |`);

console.log("\n| masks tried | flows | ns | ns, cache first |\n| --: | --: | --: | --: |");
const base: Fields = { ...PORT_ONLY, eth_type: "0x800", ip_dst: "10.0.0.2" };
for (const flows of FLOWS) {
  for (const masks of MASKS) {
    const fill = (put: (fields: Fields) => void): void => {
      // Other masks, whose flows do not fit: source ports under each mask.
      for (let i = 1; i < masks; i++) {
        const udp_src = `0xff00/0x${(0xff00 + i).toString(16)}`;
        put({ ...base, ip_dst: "192.168.0.1", udp_src });
      }
      for (let i = 1; i < flows; i++) {
        put({ ...base, ip_dst: `11.${i >> 16}.${(i >> 8) & 255}.${i & 255}` });
      }
      put(base);
    };
    console.log(`| ${masks} | ${flows} | ${measure(false, fill)} | ${measure(true, fill)} |`);
  }
}
