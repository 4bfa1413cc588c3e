/**
 * `npm run soak [-- --minutes N] [--datapath userspace|ebpf]`: ten minutes over each of the two
 * datapaths, unless told otherwise. Ends with 1 if the books do not come out even.
 */
import { missing } from "../support/privileged.ts";
import { SWITCH_TOOLS } from "../support/switch.ts";
import { faults, soak } from "./soak.ts";

const GROWTH_MIB = 32;

function option(name: string): string | undefined {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

const minutes = Number(option("minutes") ?? "10");
if (!(minutes > 0)) throw new Error("--minutes takes a number");
const wanted = option("datapath");
const reason = missing([...SWITCH_TOOLS, "iperf3"]);
if (reason !== undefined) throw new Error(`the soak cannot run: ${reason}`);
let failed = false;
for (const datapath of ["userspace", "ebpf"] as const) {
  if (wanted !== undefined && wanted !== datapath) continue;
  const report = await soak({
    seconds: minutes * 60,
    datapath,
    growthMiB: GROWTH_MIB,
    say: (line) => console.log(`${datapath}: ${line}`),
  });
  console.log(JSON.stringify(report, undefined, 2));
  for (const fault of faults(report, GROWTH_MIB)) {
    failed = true;
    console.log(`FAULT ${fault}`);
  }
}
process.exit(failed ? 1 : 0);
