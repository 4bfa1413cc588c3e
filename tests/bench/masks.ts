/**
 * What a lookup costs in the kernel, as a function of the masks that are tried and of the flows there
 * are: the program runs by BPF_PROG_TEST_RUN, without interfaces and receivers, on a UDP packet whose
 * flow has the last mask. As root: `bun tests/bench/masks.ts`. The least of some runs counts.
 */
import { loadTcProgram, testProgram } from "../../src/linux/bpf-program.ts";
import { close } from "../../src/linux/libc.ts";
import { LogSink } from "../../src/log/log.ts";
import { KernelFlows } from "../../src/fastpath/ebpf/kernel-flows.ts";
import { assembleEntry } from "../../src/fastpath/ebpf/main-program.ts";
import { closeMaps, openDatapathMaps } from "../../src/fastpath/ebpf/maps.ts";
import { matchOf } from "../conformance/datapath/bench.ts";
import { buildFrame } from "../../src/packet/headers.ts";

const MASKS = [1, 8, 32, 128];
const FLOWS = [1, 100_000];
const RUNS = 30;
const REPEAT = 20_000;
const PORT = 1;

const frame = buildFrame({
  ipv4: { src: "10.0.0.1", dst: "10.0.0.2" },
  udp: { src: 1000, dst: 2000 },
  payload: 22,
});

function measure(masks: number, flows: number, alwaysExact: boolean): number {
  const maps = openDatapathMaps(1 << 18);
  const kernel = new KernelFlows({
    maps,
    puntIfindex: 1,
    maxFlows: 1 << 18,
    half: 0,
    held: false,
    alwaysExact,
    receives: () => true,
    targetOf: () => ({ ifindex: 1, ingress: false }),
    logger: new LogSink(() => {}).logger("bench"),
  });
  const base = { in_port_oxm: String(PORT), eth_type: "0x800", ip_dst: "10.0.0.2" };
  let id = 0;
  const put = (fields: Parameters<typeof matchOf>[0]): void =>
    kernel.put({ id: id++, match: matchOf(fields), actions: [{ type: "output", port: 2 }] });
  // Other masks, whose flows do not fit: source ports under each mask.
  for (let i = 1; i < masks; i++) {
    put({ ...base, ip_dst: "192.168.0.1", udp_src: `0xff00/0x${(0xff00 + i).toString(16)}` });
  }
  for (let i = 1; i < flows; i++) {
    put({ ...base, ip_dst: `11.${i >> 16}.${(i >> 8) & 255}.${i & 255}` });
  }
  put(base);
  const entry = loadTcProgram(assembleEntry(PORT, maps.programs).bytes, "bench");
  let best = Infinity;
  for (let i = 0; i < RUNS; i++) {
    const { result, nanoseconds } = testProgram(entry, frame, REPEAT);
    if (result !== 7) throw new Error(`the packet was not redirected: ${result}`);
    best = Math.min(best, nanoseconds);
  }
  close(entry);
  kernel.close();
  closeMaps(maps);
  return best;
}

console.log("| masks tried | flows | ns | ns, cache first |\n| --: | --: | --: | --: |");
for (const flows of FLOWS) {
  for (const masks of MASKS) {
    const [plain, cached] = [measure(masks, flows, false), measure(masks, flows, true)];
    console.log(`| ${masks} | ${flows} | ${plain} | ${cached} |`);
  }
}
