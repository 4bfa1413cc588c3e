/** What a figure is worth nothing without: machine, versions, date, command. */
import { cpus, loadavg, release, totalmem } from "node:os";
import { run } from "../support/exec.ts";
import { ROOT, solovsCommand } from "../support/switch.ts";

export interface Machine {
  readonly date: string;
  readonly command: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly loadBefore: number;
  readonly solovs: string;
  readonly commit: string;
  readonly openVswitch: string;
  readonly iperf3: string;
}

async function firstLine(argv: readonly string[]): Promise<string> {
  try {
    const result = await run(argv, { timeoutMs: 5000, cwd: ROOT });
    return (result.stdout || result.stderr).split("\n")[0]!.trim();
  } catch {
    return "not there";
  }
}

export async function describeMachine(args: readonly string[]): Promise<Machine> {
  const all = cpus();
  return {
    date: new Date().toISOString(),
    command: ["npm run bench", ...(args.length > 0 ? ["--", ...args] : [])].join(" "),
    cpu: all[0]?.model ?? "unknown",
    cores: all.length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    loadBefore: loadavg()[0]!,
    solovs: await firstLine([...solovsCommand(), "--version"]),
    commit: await firstLine(["git", "rev-parse", "--short", "HEAD"]),
    openVswitch: await firstLine(["ovs-vswitchd", "--version"]),
    iperf3: await firstLine(["iperf3", "--version"]),
  };
}

export function machineText(m: Machine): string {
  return [
    `- date: ${m.date}; command: \`${m.command}\``,
    `- machine: ${m.cores} × ${m.cpu}, ${m.memoryGib} GiB, Linux ${m.kernel}, ` +
    `load before ${m.loadBefore.toFixed(2)}`,
    `- ${m.solovs} (commit ${m.commit}); ${m.openVswitch}; ${m.iperf3}`,
  ].join("\n");
}
