/** The last lines of the log, each with an id by which a reader goes on where it stopped. */
import type { LogSink } from "../log/log.ts";

const KEPT = 1000;

export interface LogLine {
  readonly id: string;
  readonly line: string;
}

export class LogTail {
  /** Ids of another run of the process mean nothing here. */
  private readonly run = crypto.randomUUID().slice(0, 8);
  private readonly lines: LogLine[] = [];
  private readonly listeners = new Set<(line: LogLine) => void>();
  private count = 0;
  readonly close: () => void;

  constructor(log: LogSink) {
    this.close = log.listen((line) => {
      const entry = { id: `${this.run}-${++this.count}`, line };
      this.lines.push(entry);
      if (this.lines.length > KEPT) this.lines.shift();
      for (const listener of this.listeners) listener(entry);
    });
  }

  /** Oldest first. */
  last(limit: number): readonly LogLine[] {
    return this.lines.slice(-limit);
  }

  /** What came after a line; undefined if that is not known (any more). */
  since(id: string): readonly LogLine[] | undefined {
    const [run, text] = id.split("-");
    const number = Number(text);
    const first = this.count - this.lines.length;
    if (run !== this.run || !(number >= first && number <= this.count)) return undefined;
    return this.lines.slice(number - first);
  }

  listen(listener: (line: LogLine) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}
