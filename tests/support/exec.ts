/**
 * Runs other programs. `run` returns what the program said and its exit code, whatever they are;
 * `must` throws when the code is not 0, with the whole output in the message, so that a failed
 * test shows why.
 */
export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** The program is killed (code 137) after this long. */
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
  constructor(readonly argv: readonly string[], readonly result: Result) {
    super(
      `${argv.join(" ")}: exit code ${result.code}\n${result.stderr}${
        result.stdout === "" ? "" : `\n--- stdout\n${result.stdout}`
      }`,
    );
  }
}

export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Result> {
  const child = Bun.spawn([...argv], {
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: options.stdin === undefined ? "ignore" : new Blob([options.stdin]),
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs ?? 30_000,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/** As `run`, but a code other than 0 throws; returns standard output. */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(argv, options);
  if (result.code !== 0) throw new CommandFailed(argv, result);
  return result.stdout;
}

/** A program left running: its output is collected, and it is stopped by its own pid only. */
export class Background {
  private output = "";
  private readonly child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  private readonly drained: Promise<unknown>;

  constructor(readonly argv: readonly string[], options: RunOptions = {}) {
    this.child = Bun.spawn([...argv], {
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.drained = Promise.all([this.drain(this.child.stdout), this.drain(this.child.stderr)]);
  }

  get pid(): number {
    return this.child.pid;
  }

  /** Exit code, or undefined while it runs. */
  get exitCode(): number | undefined {
    if (this.child.exitCode !== null) return this.child.exitCode;
    return this.child.signalCode === null ? undefined : 128;
  }

  /** Standard output and error so far, as they came. */
  get log(): string {
    return this.output;
  }

  write(text: string): void {
    this.child.stdin.write(text);
    this.child.stdin.flush();
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** Waits for the end; undefined when it still runs after `timeoutMs`. */
  async ended(timeoutMs: number): Promise<number | undefined> {
    let timer: Timer | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), timeoutMs);
    });
    const code = await Promise.race([this.child.exited, late]);
    clearTimeout(timer);
    if (code !== undefined) await Promise.race([this.drained, Bun.sleep(200)]);
    return code;
  }

  /** SIGTERM, then SIGKILL when that did not help within `timeoutMs`. */
  async stop(timeoutMs = 3000): Promise<number> {
    if (this.exitCode === undefined) this.child.kill("SIGTERM");
    const code = await this.ended(timeoutMs);
    if (code !== undefined) return code;
    this.child.kill("SIGKILL");
    return await this.child.exited;
  }

  killNow(): void {
    if (this.exitCode === undefined) this.child.kill("SIGKILL");
  }

  private async drain(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) this.output += decoder.decode(chunk, { stream: true });
  }
}
