/**
 * NetFlow version 5: IPv4 flows with what they count, told of when they end, when they take another
 * way, and each `activeTimeoutMs` while they go on.
 *
 *     message = header, at most 30 records (record.ts)
 *
 * Nothing is sampled: the counts are those of megaflows, which NetFlow has match all that tells its
 * flows apart. A flow ends when the datapath has no megaflow for it any more.
 *
 * Limits: flows beyond `MOST_FLOWS` are not counted (`counters.flowsRefused`); 32 bits of bytes a
 * record, so a flow of more makes several.
 */
import type { Logger } from "../../../log/log.ts";
import type { NetflowKey, NetflowModel } from "../../pipeline/sampling.ts";
import type { Collectors } from "../collectors.ts";
import { encodeNetflow, MAX_RECORDS, type NetflowRecord } from "./record.ts";

/** A flow takes about 200 bytes. */
const MOST_FLOWS = 262_144;
/** Flows are looked through for those whose time it is so often. */
const LOOK_EVERY_MS = 1000;
const UINT32_MAX = 0xffffffff;
/** More bytes than 10 Gbit/s carries in ten minutes: the counter is wrong. */
const IMPOSSIBLE_BYTES = 175 * 2 ** 32;

export interface NetflowOptions {
  readonly engineType: number;
  readonly engineId: number;
  /** 0: flows are told of when they end only. */
  readonly activeTimeoutMs: number;
  /** Puts the engine's number into the upper bits of port numbers. */
  readonly addIdToInterface: boolean;
}

interface Flow {
  readonly key: NetflowKey;
  output: number;
  createdMs: number;
  usedMs: number;
  expiredMs: number;
  packets: number;
  bytes: number;
  tcpFlags: number;
}

export class Netflow implements NetflowModel {
  readonly counters = { flowsRefused: 0 };
  private readonly flows = new Map<string, Flow>();
  private readonly records: NetflowRecord[] = [];
  private readonly bootMs: number;
  private sequence = 0;
  private lookAtMs = 0;
  private configuredMs: number;

  constructor(
    private collectors: Collectors | undefined,
    private options: NetflowOptions,
    private readonly now: () => number,
    private readonly wallMs: () => number,
    private readonly log: Logger,
  ) {
    this.bootMs = this.configuredMs = now();
  }

  /** The flows stay. */
  configure(collectors: Collectors | undefined, options: NetflowOptions): void {
    this.collectors?.close();
    this.collectors = collectors;
    if (options.activeTimeoutMs !== this.options.activeTimeoutMs) {
      this.configuredMs = this.lookAtMs = this.now();
    }
    this.options = options;
  }

  count(
    key: NetflowKey,
    output: number,
    packets: number,
    bytes: number,
    usedMs: number,
    tcpFlags: number,
  ): void {
    const id = idOf(key);
    let flow = this.flows.get(id);
    if (!flow) {
      if (this.flows.size >= MOST_FLOWS) {
        this.counters.flowsRefused++;
        return;
      }
      flow = {
        key,
        output,
        createdMs: usedMs,
        usedMs: 0,
        expiredMs: 0,
        packets: 0,
        bytes: 0,
        tcpFlags: 0,
      };
      this.flows.set(id, flow);
    }
    if (flow.output !== output) {
      this.expire(flow);
      flow.createdMs = usedMs;
      flow.output = output;
    }
    flow.packets += packets;
    flow.bytes += bytes;
    flow.tcpFlags |= tcpFlags;
    if (usedMs <= flow.usedMs) return;
    flow.usedMs = usedMs;
    const isFirst = flow.expiredMs === 0 || this.configuredMs > flow.expiredMs;
    // Kept up to date where nothing expires, lest all do at once when that changes.
    if (isFirst || this.options.activeTimeoutMs === 0) flow.expiredMs = this.now();
  }

  ended(key: NetflowKey): void {
    const id = idOf(key);
    const flow = this.flows.get(id);
    if (!flow) return;
    this.expire(flow);
    this.flows.delete(id);
  }

  /** Sends what there is, and looks for flows whose time it is. */
  run(): void {
    this.flush();
    const { activeTimeoutMs } = this.options;
    const now = this.now();
    if (activeTimeoutMs === 0 || now < this.lookAtMs) return;
    this.lookAtMs = now + LOOK_EVERY_MS;
    for (const [id, flow] of this.flows) {
      if (now <= flow.expiredMs + activeTimeoutMs) continue;
      const isIdle = flow.usedMs < flow.expiredMs;
      this.expire(flow);
      if (isIdle) this.flows.delete(id);
    }
    this.flush();
  }

  close(): void {
    for (const flow of this.flows.values()) this.expire(flow);
    this.flows.clear();
    this.flush();
    this.collectors?.close();
  }

  private expire(flow: Flow): void {
    flow.expiredMs += this.options.activeTimeoutMs;
    let { packets, bytes } = flow;
    if (packets === 0) return;
    if (bytes > IMPOSSIBLE_BYTES) this.log.warn(`impossible byte counter ${bytes}`);
    else {
      while (bytes > 0) {
        const parts = Math.ceil(bytes / UINT32_MAX);
        const some = { packets: Math.floor(packets / parts), bytes: Math.floor(bytes / parts) };
        this.put(flow, some.packets, some.bytes);
        packets -= some.packets;
        bytes -= some.bytes;
      }
    }
    flow.packets = flow.bytes = flow.tcpFlags = 0;
  }

  private put(flow: Flow, packets: number, bytes: number): void {
    const { key, output, createdMs, usedMs, tcpFlags } = flow;
    this.records.push({
      key,
      output,
      packets,
      bytes,
      firstMs: createdMs - this.bootMs,
      lastMs: Math.max(createdMs, usedMs) - this.bootMs,
      tcpFlags,
    });
    if (this.records.length >= MAX_RECORDS) this.flush();
  }

  private flush(): void {
    if (this.records.length === 0) return;
    const records = this.records.splice(0);
    this.collectors?.send(encodeNetflow(records, {
      uptimeMs: this.now() - this.bootMs,
      wallMs: this.wallMs(),
      sequence: this.sequence,
      ...this.options,
    }));
    this.sequence += records.length;
  }
}

function idOf({ inPort, src, dst, tos, protocol, tpSrc, tpDst }: NetflowKey): string {
  return `${inPort} ${src} ${dst} ${tos} ${protocol} ${tpSrc} ${tpDst}`;
}
