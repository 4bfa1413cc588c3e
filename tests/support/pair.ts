/**
 * The switch under test and stock Open vSwitch side by side, given the same bridge, ports and
 * addresses, so that what the stock clients print for both can be compared line by line.
 */
import { expect } from "bun:test";
import type { Result } from "./exec.ts";
import { Sandbox } from "./netns.ts";
import { StockSwitch } from "./stock.ts";
import { type RunningSwitch, startSwitch } from "./switch.ts";

export interface Both<T> {
  readonly ours: T;
  readonly theirs: T;
}

export class Pair {
  private constructor(
    readonly sandbox: Sandbox,
    readonly ours: RunningSwitch,
    readonly theirs: RunningSwitch,
  ) {}

  /** Bridge br0 (hardware address 02:…:aa:01) with p1, p2 on veth cables that end in `far`. */
  static async create(): Promise<Pair> {
    const sandbox = await Sandbox.create();
    const ours = await startSwitch(sandbox, await sandbox.netns("ours"));
    const theirs = await StockSwitch.start(sandbox, await sandbox.netns("theirs"));
    const pair = new Pair(sandbox, ours, theirs);
    await pair.each(async (sw) => {
      const far = await sandbox.netns("far");
      await sw.addBridge("br0");
      await sw.clients.vsctl("set bridge br0 other-config:hwaddr=02:00:00:00:aa:01");
      for (const n of [1, 2]) {
        await sandbox.veth(
          { ns: far, name: `far${n}`, address: `02:00:00:00:02:0${n}` },
          { ns: sw.ns, name: `p${n}`, address: `02:00:00:00:01:0${n}` },
        );
        await sw.clients.vsctl(`add-port br0 p${n} -- set interface p${n} ofport_request=${n}`);
      }
    });
    return pair;
  }

  async each<T>(body: (sw: RunningSwitch) => Promise<T>): Promise<Both<T>> {
    return { ours: await body(this.ours), theirs: await body(this.theirs) };
  }

  ofctl(...args: readonly string[]): Promise<Both<Result>> {
    return this.each((sw) => sw.clients.tryOfctl(...args));
  }

  vsctl(...args: readonly string[]): Promise<Both<Result>> {
    return this.each((sw) => sw.clients.tryVsctl(...args));
  }

  async dispose(): Promise<void> {
    try {
      await this.ours.stop();
    } finally {
      await this.theirs.stop();
      await this.sandbox.dispose();
    }
  }
}

/** Takes out of a client's output what may differ: times, run directories, transaction ids. */
export function normalise(text: string): string {
  return text
    .replaceAll(/duration=[\d.]+s/g, "duration=Ns")
    .replaceAll(/idle_age=\d+/g, "idle_age=N")
    // Printed where it differs from the duration, which a change in the next second makes it do.
    .replaceAll(/hard_age=\d+, /g, "")
    .replaceAll(/xid=0x[0-9a-f]+/g, "xid=X")
    .replaceAll(/^\d{4}-\d\d-\d\dT[\d:.]+Z\|\d+\|/gm, "")
    .replaceAll(/\/tmp\/solovs-[\w-]+/g, "RUNDIR")
    // solovs buffers packets (seed, section 5); Open vSwitch has not since 2.7.
    .replaceAll(/n_buffers:\d+/g, "n_buffers:N");
}

export function normalised(result: Result): Result {
  return {
    code: result.code,
    stdout: normalise(result.stdout),
    stderr: normalise(result.stderr),
  };
}

export const lines = (text: string): string[] => normalise(text).split("\n");

/** What a comparison with stock Open vSwitch asks for most. */
export class Comparison {
  /** `parts` cuts an output into what may come in any order. */
  constructor(
    private readonly pair: () => Pair,
    private readonly parts: (text: string) => string[] = lines,
  ) {}

  /** Runs `ovs-ofctl` on both: all that it prints, and its exit code, are the same. */
  readonly same = async (...args: readonly string[]): Promise<string> => {
    const { ours, theirs } = await this.pair().ofctl(...args);
    expect(normalised(ours)).toEqual(normalised(theirs));
    return theirs.stdout;
  };

  /** As `same` for what succeeds, in any order: both switches keep flows in hash tables. */
  readonly sameInAnyOrder = async (...args: readonly string[]): Promise<void> => {
    const { ours, theirs } = await this.pair().ofctl(...args);
    expect({ code: ours.code, stderr: ours.stderr }).toEqual({ code: 0, stderr: "" });
    expect(this.parts(ours.stdout).sort()).toEqual(this.parts(theirs.stdout).sort());
  };
}
