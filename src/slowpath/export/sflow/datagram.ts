/**
 * sFlow datagrams (sflow_version_5.txt §5): samples are gathered until a second is over or the next
 * does not fit.
 *
 *     version 5 | agent address | sub agent | sequence | uptime | count | samples …
 */
import { Writer } from "../../../openflow/wire.ts";
import { putAddress } from "./structures.ts";

const VERSION = 5;
const FLOW_SAMPLE = 1;
const COUNTERS_SAMPLE = 2;
/** Fits an Ethernet frame whatever is in front. */
const DATAGRAM_BYTES = 1400;
const SAMPLE_HEADER_BYTES = 8;

export interface FlowSample {
  readonly sequence: number;
  readonly source: number;
  readonly rate: number;
  readonly pool: number;
  readonly drops: number;
  readonly input: number;
  readonly output: number;
  readonly records: readonly Uint8Array[];
}

export interface CountersSample {
  readonly sequence: number;
  readonly source: number;
  readonly records: readonly Uint8Array[];
}

/** Where samples come from: a class and a number in it. */
export const SOURCE = { ifindex: 0, entity: 2 } as const;
export const sourceId = (kind: keyof typeof SOURCE, index: number): number =>
  ((SOURCE[kind] << 24) | (index & 0xffffff)) >>> 0;

export class Datagrams {
  /** Samples that do not fit a datagram. */
  readonly counters = { tooLong: 0 };
  private samples: Uint8Array[] = [];
  private bytes: number;
  private sequence = 0;
  private readonly headerBytes: number;

  constructor(
    /** 4 or 16 bytes. */
    private readonly agent: Uint8Array,
    private readonly subAgent: number,
    private readonly uptimeMs: () => number,
    private readonly send: (datagram: Uint8Array) => void,
  ) {
    this.headerBytes = this.bytes = agent.length + 24;
  }

  addFlow(sample: FlowSample): void {
    const { sequence, source, rate, pool, drops, input, output, records } = sample;
    const body = new Writer().u32(sequence >>> 0).u32(source).u32(rate).u32(pool >>> 0).u32(drops)
      .u32(input).u32(output).u32(records.length);
    this.add(FLOW_SAMPLE, body, records);
  }

  addCounters({ sequence, source, records }: CountersSample): void {
    const body = new Writer().u32(sequence >>> 0).u32(source).u32(records.length);
    this.add(COUNTERS_SAMPLE, body, records);
  }

  flush(): void {
    const { samples } = this;
    if (samples.length === 0) return;
    this.samples = [];
    this.bytes = this.headerBytes;
    const datagram = new Writer(DATAGRAM_BYTES).u32(VERSION);
    putAddress(datagram, this.agent);
    datagram.u32(this.subAgent).u32(++this.sequence >>> 0).u32(this.uptimeMs() >>> 0)
      .u32(samples.length);
    for (const sample of samples) datagram.put(sample);
    this.send(datagram.finish());
  }

  private add(format: number, body: Writer, records: readonly Uint8Array[]): void {
    for (const record of records) body.put(record);
    const bytes = body.length + SAMPLE_HEADER_BYTES;
    if (bytes > DATAGRAM_BYTES - this.headerBytes) {
      this.counters.tooLong++;
      return;
    }
    if (this.bytes + bytes >= DATAGRAM_BYTES) this.flush();
    this.samples.push(new Writer().u32(format).u32(body.length).put(body.finish()).finish());
    this.bytes += bytes;
  }
}
