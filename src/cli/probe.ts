/** `solovs probe`: what this kernel offers, and what is done without it. */
import { type Probe, probeKernel } from "../fastpath/ebpf/probe.ts";
import { EXIT } from "./exit.ts";

export function probe(options: { readonly json: boolean }): number {
  const probes = probeKernel();
  console.log(options.json ? JSON.stringify(probes, null, 2) : table(probes));
  return EXIT.ok;
}

function table(probes: readonly Probe[]): string {
  const width = Math.max(...probes.map(({ feature }) => feature.length));
  return probes.map(({ feature, answer, because, since, without }) => {
    const head = `${feature.padEnd(width)}  ${answer.padEnd(14)} (Linux ${since})`;
    return answer === "yes" ? head : `${head}\n    ${because}\n    without it: ${without}`;
  }).join("\n");
}
