/**
 * The clients of `npm run bench -- http`: event streams that stay open, and requests of all kinds at a
 * steady rate, each of them when its time has come whatever became of those before.
 *
 *   bun load.ts '{"url":"http://127.0.0.1:8080","token":"…","perSecond":200,"streams":100,"seconds":5}'
 *
 * Prints `ready` when all streams are open, and at the end one line of JSON (`LoadReport`).
 */
export interface LoadJob {
  readonly url: string;
  readonly token: string;
  readonly perSecond: number;
  readonly streams: number;
  readonly seconds: number;
}

export interface LoadReport {
  readonly answered: number;
  /** Requests and streams that failed, by what they were and why; how often. */
  readonly failures: Readonly<Record<string, number>>;
  /** Events that the streams brought. */
  readonly events: number;
  /** Processor time of the clients themselves, milliseconds a second. */
  readonly processorMs: number;
  /** Milliseconds from the time a request was due to the end of its answer. */
  readonly latencyMs: readonly number[];
}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly body?: (turn: number) => unknown;
  readonly text?: boolean;
}

const api = "/api/v1";
const match = (turn: number): string =>
  `priority=${100 + turn % 50},udp,tp_dst=${5000 + turn % 50}`;

/** Reading and changing, small and large, JSON and text; each as often as the others. */
const MIX: readonly Request[] = [
  { method: "GET", path: `${api}/bridges` },
  { method: "GET", path: `${api}/bridges/br0/ports/p1` },
  { method: "GET", path: `${api}/bridges/br0/flows`, text: true },
  {
    method: "POST",
    path: `${api}/bridges/br0/flows`,
    body: (turn) => `${match(turn)},actions=drop`,
  },
  { method: "GET", path: `${api}/bridges/br0/macs` },
  { method: "GET", path: `${api}/tables/Interface?limit=10&columns=name,statistics` },
  {
    method: "PATCH",
    path: `${api}/bridges/br0`,
    body: (turn) => ({ external_ids: { turn: String(turn) } }),
  },
  { method: "GET", path: `${api}/datapath/flows?bridge=br0` },
  { method: "GET", path: "/metrics" },
  { method: "GET", path: `${api}/status` },
  { method: "POST", path: `${api}/trace`, body: () => ({ bridge: "br0", flow: "in_port=1,tcp" }) },
  { method: "GET", path: "/healthz" },
];

const STREAMS = [`${api}/events`, `${api}/logs/stream`, `${api}/statistics/stream`] as const;

class Load {
  private answered = 0;
  private events = 0;
  private readonly failures: Record<string, number> = {};
  private readonly latencyMs: number[] = [];
  private readonly end = new AbortController();

  constructor(private readonly job: LoadJob) {}

  private failed(what: string): void {
    this.failures[what] = (this.failures[what] ?? 0) + 1;
  }

  private get headers(): Record<string, string> {
    return { authorization: `Bearer ${this.job.token}` };
  }

  /** Resolves when the stream has begun, with the promise of its end. */
  private async open(path: string): Promise<{ readonly ended: Promise<void> }> {
    const url = `${this.job.url}${path}`;
    const response = await fetch(url, { headers: this.headers, signal: this.end.signal });
    if (!response.ok || response.body === null) {
      this.failed(`stream ${path}: ${response.status}`);
      return { ended: Promise.resolve() };
    }
    return { ended: this.read(path, response.body) };
  }

  private async read(path: string, body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of body) {
        const text = decoder.decode(chunk, { stream: true });
        this.events += text.split("\n").filter((line) => line.startsWith("data:")).length;
      }
      this.failed(`stream ${path}: it ended`);
    } catch (error) {
      if (!this.end.signal.aborted) this.failed(`stream ${path}: ${error}`);
    }
  }

  private async request(turn: number, due: number): Promise<void> {
    const { method, path, body, text } = MIX[turn % MIX.length]!;
    const value = body?.(turn);
    try {
      const response = await fetch(`${this.job.url}${path}`, {
        method,
        headers: text === true ? { ...this.headers, accept: "text/plain" } : this.headers,
        ...(value !== undefined &&
          { body: typeof value === "string" ? value : JSON.stringify(value) }),
      });
      const answer = await response.text();
      if (response.ok) this.answered++;
      else this.failed(`${method} ${path}: ${response.status} ${answer.slice(0, 200)}`);
    } catch (error) {
      this.failed(`${method} ${path}: ${error}`);
    }
    this.latencyMs.push(performance.now() - due);
  }

  async run(): Promise<LoadReport> {
    const { streams, perSecond, seconds } = this.job;
    const opened = await Promise.all(
      Array.from({ length: streams }, (_, i) => this.open(STREAMS[i % STREAMS.length]!)),
    );
    console.log("ready");
    const [start, used] = [performance.now(), process.cpuUsage()];
    const running: Promise<void>[] = [];
    for (let turn = 0; turn < perSecond * seconds; turn++) {
      const due = start + turn * 1000 / perSecond;
      const early = due - performance.now();
      if (early > 0) await Bun.sleep(early);
      running.push(this.request(turn, due));
    }
    await Promise.all(running);
    const { user, system } = process.cpuUsage(used);
    const processorMs = (user + system) / (performance.now() - start);
    this.end.abort();
    await Promise.all(opened.map(({ ended }) => ended));
    const { answered, failures, events, latencyMs } = this;
    return { answered, failures, events, processorMs, latencyMs };
  }
}

if (import.meta.main) {
  const report = await new Load(JSON.parse(process.argv[2]!) as LoadJob).run();
  console.log(JSON.stringify(report));
  process.exit(0);
}
