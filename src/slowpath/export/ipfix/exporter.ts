/**
 * An IPFIX exporter (RFC 7011), of a bridge or of a collector set: samples become flows (cache.ts),
 * flows become data records of one of the templates (templates.ts), each in a message of its own.
 *
 * Templates are sent with the first record, and again with the first record after ten minutes, since
 * UDP may lose them (RFC 7011 §8.4); behind them, what the exporter could not send. Open vSwitch's
 * exporter (`ofproto-dpif-ipfix.c`) is what the bytes are compared with.
 *
 *     message header | set header | template records, or one data record
 *
 * Limits: a flow cache of 65,536 at most; messages are cut at about 1 kB; IPv4 tunnels.
 */
import type { Packet } from "../../../fastpath/datapath.ts";
import type { IpfixStats } from "../../../openflow/messages/types.ts";
import { Writer } from "../../../openflow/wire.ts";
import type { Collectors } from "../collectors.ts";
import { type CachedFlow, type CacheLimits, type EndReason, FlowsToExport } from "./cache.ts";
import { ELEMENTS } from "./elements.ts";
import { addCounts, type Counts, noCounts, type SampledPacket } from "./sample.ts";
import {
  EXPORTER_TEMPLATE,
  putFields,
  putSpecifier,
  putValue,
  type Template,
  templateId,
  TEMPLATES,
} from "./templates.ts";

const VERSION = 10;
const HEADER_BYTES = 16;
const LENGTH_AT = 2;
/** Set numbers of templates (RFC 7011 §3.3.2). */
const TEMPLATE_SET = 2;
const OPTIONS_TEMPLATE_SET = 3;
/** A message of templates that has reached this is sent. */
const MESSAGE_BYTES = 1024;
const TEMPLATE_INTERVAL_SEC = 600;
/** What the exporter says of itself concerns no domain. */
const NO_DOMAIN = 0;

export interface ExporterOptions {
  readonly limits: CacheLimits;
  /** `other_config:virtual_obs_id`: added to each record. */
  readonly virtualId: string | undefined;
  /** Tells exporters of this process apart. */
  readonly exporterId: number;
}

export class IpfixExporter {
  private readonly cache: FlowsToExport;
  private readonly total: Counts = noCounts();
  private sequence = 0;
  private templatesAtSec = -Infinity;
  private readonly counters = {
    flows: 0,
    packets: 0,
    ipv4: 0,
    ipv6: 0,
    ipv4Errors: 0,
    ipv6Errors: 0,
  };

  constructor(
    private readonly collectors: Collectors,
    private readonly options: ExporterOptions,
    /** Wall clock, milliseconds. */
    private readonly wallMs: () => number,
  ) {
    this.cache = new FlowsToExport(options.limits);
  }

  /** A sampled packet, which stands for `packets` of its like. */
  add(sampled: SampledPacket, packet: Packet, packets: number, domainId: number): void {
    const template = TEMPLATES.get(templateId(sampled.shape))!;
    const key = new Writer();
    putFields(key, template.key, sampled);
    const delta = sampled.counts(packet, packets);
    addCounts(this.total, delta);
    const now = this.wallMs();
    const length = sampled.ipLength(packet.data.length);
    const isNew = this.cache.add({
      domainId,
      templateId: template.id,
      key: key.finish(),
      startMs: now,
      endMs: now,
      delta,
      total: { ...this.total },
      shortest: length,
      longest: length,
    });
    this.count(sampled, isNew);
    if (this.cache.crowded) this.run();
  }

  /** Exports what is due; `all`: everything. */
  run(all = false): void {
    const now = this.wallMs();
    // Times in records go back from the header's, which has seconds only.
    const exportSec = Math.ceil(now / 1000);
    for (const [flow, reason] of this.cache.expire(now, all)) {
      if (this.templatesAtSec + TEMPLATE_INTERVAL_SEC <= exportSec) {
        this.templatesAtSec = exportSec;
        this.sendTemplates(exportSec, flow.domainId);
        this.sendState(exportSec);
      }
      this.sendFlow(exportSec, flow, reason);
    }
  }

  stats(collectorSet: number): IpfixStats {
    const { flows, packets, ipv4, ipv6, ipv4Errors, ipv6Errors } = this.counters;
    const { sent, errors } = this.collectors.counters;
    return {
      totalFlows: BigInt(flows),
      currentFlows: BigInt(this.cache.size),
      packets: BigInt(packets),
      ipv4Packets: BigInt(ipv4),
      ipv6Packets: BigInt(ipv6),
      errorPackets: BigInt(ipv4Errors + ipv6Errors),
      ipv4ErrorPackets: BigInt(ipv4Errors),
      ipv6ErrorPackets: BigInt(ipv6Errors),
      sentPackets: BigInt(Math.max(0, sent - errors)),
      sendErrors: BigInt(errors),
      collectorSet,
    };
  }

  /** Exports what there is, and ends. */
  close(): void {
    this.run(true);
    this.collectors.close();
  }

  private count({ kind }: SampledPacket, isNew: boolean): void {
    const { counters } = this;
    if (isNew) counters.flows++;
    counters.packets++;
    switch (kind) {
      case "ipv4":
        counters.ipv4++;
        break;
      case "ipv6":
        counters.ipv6++;
        break;
      case "ipv4 error":
        counters.ipv4Errors++;
        break;
      case "ipv6 error":
        counters.ipv6Errors++;
        break;
      case "other":
        break;
      default: {
        const never: never = kind;
        throw new Error(`sampled packet ${never}`);
      }
    }
  }

  private begin(exportSec: number, domainId: number): Writer {
    return new Writer(MESSAGE_BYTES).u16(VERSION).u16(0).u32(exportSec).u32(this.sequence >>> 0)
      .u32(domainId);
  }

  /** The message's one set is complete. */
  private finishSet(message: Writer): void {
    message.patch16(HEADER_BYTES + LENGTH_AT, message.length - HEADER_BYTES);
    message.patch16(LENGTH_AT, message.length);
    this.collectors.send(message.finish());
  }

  private sendTemplates(exportSec: number, domainId: number): void {
    let message: Writer | undefined;
    const flush = (): void => {
      if (!message) return;
      this.finishSet(message);
      message = undefined;
    };
    for (const template of TEMPLATES.values()) {
      message ??= this.begin(exportSec, domainId).u16(TEMPLATE_SET).u16(0);
      this.putTemplate(message, template);
      if (message.length >= MESSAGE_BYTES) flush();
    }
    flush();
    const { id, scopes, fields } = EXPORTER_TEMPLATE;
    message = this.begin(exportSec, NO_DOMAIN).u16(OPTIONS_TEMPLATE_SET).u16(0);
    message.u16(id).u16(fields.length).u16(scopes);
    for (const { element } of fields) putSpecifier(message, element);
    flush();
  }

  private putTemplate(message: Writer, { id, key, counters }: Template): void {
    const elements = [
      ...key.map(({ element }) => element),
      ...(this.options.virtualId === undefined ? [] : [ELEMENTS.virtualObsID]),
      ...counters.map(({ element }) => element),
    ];
    message.u16(id).u16(elements.length);
    for (const element of elements) putSpecifier(message, element);
  }

  /** RFC 7011 §4.3. */
  private sendState(exportSec: number): void {
    const message = this.begin(exportSec, NO_DOMAIN);
    this.sequence++;
    message.u16(EXPORTER_TEMPLATE.id).u16(0);
    const { exporterId: exporter } = this.options;
    const { errors } = this.collectors.counters;
    putFields(message, EXPORTER_TEMPLATE.fields, { exporter, errors });
    this.finishSet(message);
  }

  private sendFlow(exportSec: number, flow: CachedFlow, endReason: EndReason): void {
    const message = this.begin(exportSec, flow.domainId);
    this.sequence++;
    message.u16(flow.templateId).u16(0).put(flow.key);
    const { virtualId } = this.options;
    if (virtualId !== undefined) putValue(message, ELEMENTS.virtualObsID, virtualId);
    const usec = (ms: number): number => Math.round((exportSec * 1000 - ms) * 1000) >>> 0;
    const { delta, total, shortest, longest } = flow;
    putFields(message, TEMPLATES.get(flow.templateId)!.counters, {
      startDeltaUsec: usec(flow.startMs),
      endDeltaUsec: usec(flow.endMs),
      delta,
      total,
      shortest,
      longest,
      endReason,
    });
    this.finishSet(message);
  }
}
