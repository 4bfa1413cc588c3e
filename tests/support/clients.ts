/** The stock Open vSwitch clients, pointed at one run directory. */
import { CommandFailed, type Result, run } from "./exec.ts";

export type OpenFlowVersion = `OpenFlow1${0 | 1 | 2 | 3 | 4 | 5}`;

export class Clients {
  constructor(readonly runDir: string) {}

  private get env(): Record<string, string> {
    return { OVS_RUNDIR: this.runDir, OVS_DBDIR: this.runDir, OVS_LOGDIR: this.runDir };
  }

  /** `ovs-vsctl`; one string argument is split on spaces. Fails by itself after ten seconds. */
  tryVsctl(...args: readonly string[]): Promise<Result> {
    return this.call(["ovs-vsctl", "--timeout=10"], args);
  }

  tryOfctl(...args: readonly string[]): Promise<Result> {
    return this.call(["ovs-ofctl", "--timeout=10"], args);
  }

  tryAppctl(...args: readonly string[]): Promise<Result> {
    return this.call(["ovs-appctl", "--timeout=10"], args);
  }

  tryOvsdbClient(...args: readonly string[]): Promise<Result> {
    return this.call(["ovsdb-client", "--timeout=10"], args);
  }

  /** As `tryVsctl`, but throws unless the exit code is 0; returns what it printed, trimmed. */
  async vsctl(...args: readonly string[]): Promise<string> {
    return checked(["ovs-vsctl", ...args], await this.tryVsctl(...args));
  }

  async ofctl(...args: readonly string[]): Promise<string> {
    return checked(["ovs-ofctl", ...args], await this.tryOfctl(...args));
  }

  async appctl(...args: readonly string[]): Promise<string> {
    return checked(["ovs-appctl", ...args], await this.tryAppctl(...args));
  }

  /** Adds flows read from text, one a line; empty lines and comments as ovs-ofctl takes them. */
  async addFlows(bridge: string, flows: string, version?: OpenFlowVersion): Promise<void> {
    const argv = ["ovs-ofctl", ...(version === undefined ? [] : ["-O", version])];
    const result = await run([...argv, "add-flows", bridge, "-"], { env: this.env, stdin: flows });
    checked([...argv, "add-flows", bridge, flows], result);
  }

  /**
   * Waits until datapath flows made before the last change have been looked at again. Open vSwitch
   * does that some time after it has acknowledged the change.
   */
  async flowsInForce(): Promise<void> {
    await this.appctl("revalidator/wait");
  }

  private call(head: readonly string[], args: readonly string[]): Promise<Result> {
    const words = args.length === 1 ? args[0]!.split(" ") : args;
    return run([...head, ...words], { env: this.env, timeoutMs: 15_000 });
  }
}

function checked(argv: readonly string[], result: Result): string {
  if (result.code !== 0) throw new CommandFailed(argv, result);
  return result.stdout.trim();
}
