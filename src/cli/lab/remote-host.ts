/** The lab's side of a host: starts the process, and asks it for things (requests.ts). */
import { reason } from "../exit.ts";
import { splitLines } from "./lines.ts";
import type { HostAnswer, HostGreeting, HostMethod, HostReply, HostRequest } from "./requests.ts";

/** A host that has not answered after this long is lost. */
const ANSWER_TIMEOUT_MS = 30_000;

/** The command line that starts this very program again: compiled, or from its sources. */
function ownCommandLine(): string[] {
  const compiled = Bun.main.startsWith("/$bunfs/");
  return compiled ? [process.execPath] : [process.execPath, Bun.main];
}

export class RemoteHost {
  private readonly child;
  private readonly lines: AsyncIterator<string>;

  private constructor(readonly name: string) {
    this.child = Bun.spawn([...ownCommandLine(), "lab-host"], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.lines = splitLines(this.child.stdout);
  }

  /** Starts a host; resolves when it is in its namespace. */
  static async start(name: string): Promise<RemoteHost> {
    const host = new RemoteHost(name);
    try {
      const greeting = JSON.parse(await host.line()) as HostGreeting;
      if (greeting.ready !== true) throw new Error("it did not greet");
      return host;
    } catch (error) {
      await host.end();
      throw new Error(`the process of host ${name} did not start: ${reason(error)}`);
    }
  }

  /** The process whose network namespace is the host's. */
  get pid(): number {
    return this.child.pid;
  }

  async ask<M extends HostMethod>(method: M, params: HostRequest<M>): Promise<HostAnswer<M>> {
    this.child.stdin.write(`${JSON.stringify({ method, params })}\n`);
    await this.child.stdin.flush();
    const reply = JSON.parse(await this.line()) as HostReply<M>;
    if ("error" in reply) throw new Error(`host ${this.name}: ${reply.error}`);
    return reply.ok;
  }

  private async line(): Promise<string> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      late.reject(new Error(`host ${this.name} does not answer`));
    }, ANSWER_TIMEOUT_MS);
    try {
      const { done, value } = await Promise.race([this.lines.next(), late.promise]);
      if (done === true) throw new Error(`host ${this.name} has ended`);
      return value;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the process and waits for it. It keeps nothing that would need an orderly end. */
  async end(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.exited;
  }
}
