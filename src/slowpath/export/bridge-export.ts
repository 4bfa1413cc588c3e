/**
 * What a bridge exports of its packets: sFlow, NetFlow, IPFIX of the bridge and of collector sets.
 *
 *     database rows ──config.ts──> BridgeExport.configure ──> SflowAgent      ──┐
 *                                       │                     Netflow           ├─> Collectors ──UDP
 *     translation <──SamplingModel──────┤                     IpfixExporter … ──┘
 *     datapath ──upcall of a sample──> sample()
 *
 * - `sampling` is what translation reads (pipeline/sampling.ts); undefined while nothing is exported,
 *   so that a bridge without collectors costs nothing.
 * - An exporter is made anew when its row changes, and says what it still has to say before. NetFlow
 *   keeps its flows.
 * - Everything is bounded: flows of NetFlow and IPFIX, targets, bytes of a sample. Samples wait in the
 *   upcall queue only, which is bounded and counts what it drops.
 * - Once a second: sFlow's datagrams and counters, NetFlow's and IPFIX's timeouts.
 *
 * Differences from Open vSwitch: targets are IP addresses, names are not looked up; NetFlow's
 * `active_timeout=-1` switches active timeouts off, as the manual says; its engine numbers are 0 where
 * the database gives none.
 */
import { networkInterfaces } from "node:os";
import { isDeepStrictEqual } from "node:util";
import type { Packet } from "../../fastpath/datapath.ts";
import type { Logger } from "../../log/log.ts";
import type { IpfixStats } from "../../openflow/messages/types.ts";
import { parseIpv4, parseIpv6 } from "../../packet/address.ts";
import type { FlowKey } from "../../packet/key.ts";
import { slotNumber } from "./slots.ts";
import type { Clock } from "../clock.ts";
import type { Sample, SamplingModel } from "../pipeline/sampling.ts";
import { Collectors } from "./collectors.ts";
import type { BridgeIpfixConfig, ExportConfig, FlowIpfixConfig, SflowConfig } from "./config.ts";
import { IpfixExporter } from "./ipfix/exporter.ts";
import { SampledPacket } from "./ipfix/sample.ts";
import { MAX_VARIABLE_BYTES } from "./ipfix/templates.ts";
import { isTunnelPort, sampledTunnel } from "./ipfix/tunnel.ts";
import { Netflow } from "./netflow/netflow.ts";
import type { ExportSource } from "./ports.ts";
import { SflowAgent } from "./sflow/agent.ts";
import type { SharedExport } from "./shared.ts";

const TICK_MS = 1000;
const IPFIX_PORT = 4739;
const SFLOW_PORT = 6343;
const ALL = 0xffffffff;
const ALL_16 = 0xffff;
const UDP = 17;
/** BFD is the switch's own business (RFC 5881 §4). */
const BFD_PORTS = [3784, 3785];
const NOTHING: ExportConfig = {
  sflow: undefined,
  netflow: undefined,
  ipfix: undefined,
  flowIpfix: [],
};

interface BridgeIpfix {
  readonly config: BridgeIpfixConfig;
  readonly exporter: IpfixExporter;
  readonly probability: number;
}

interface FlowIpfix {
  readonly config: FlowIpfixConfig;
  readonly exporter: IpfixExporter;
}

export class BridgeExport {
  /** What translation has to do; undefined: nothing. */
  sampling: SamplingModel | undefined;
  private config = NOTHING;
  private sflow: SflowAgent | undefined;
  private netflow: Netflow | undefined;
  private ipfix: BridgeIpfix | undefined;
  /** By collector set. */
  private readonly flowIpfix = new Map<number, FlowIpfix>();
  private stopTimer: (() => void) | undefined;

  constructor(
    private readonly source: ExportSource,
    private readonly shared: SharedExport,
    private readonly clock: Clock,
    private readonly log: Logger,
    /** Flows have to be translated again. */
    private readonly changed: () => void,
    /** Milliseconds since 1970. */
    private readonly wallMs: () => number = Date.now,
  ) {}

  /** Resolves when it is in force; the log says what could not be done. */
  async configure(config: ExportConfig): Promise<void> {
    const { config: old } = this;
    if (isDeepStrictEqual(old, config)) return;
    this.config = config;
    if (!isDeepStrictEqual(old.sflow, config.sflow)) await this.configureSflow(config.sflow);
    if (!isDeepStrictEqual(old.netflow, config.netflow)) await this.configureNetflow(config);
    if (!isDeepStrictEqual(old.ipfix, config.ipfix)) await this.configureIpfix(config.ipfix);
    await this.configureFlowIpfix(config.flowIpfix);
    this.publish();
  }

  /** Counters of IPFIX exporters; undefined: there is none. */
  ipfixStats(what: "bridge" | "flow"): readonly IpfixStats[] | undefined {
    if (what === "bridge") return this.ipfix && [this.ipfix.exporter.stats(0)];
    if (this.flowIpfix.size === 0) return undefined;
    return [...this.flowIpfix].map(([id, { exporter }]) => exporter.stats(id));
  }

  /** Drop counters, by name. */
  counters(): Readonly<Record<string, number>> {
    return {
      sflow_sample_too_long: this.sflow?.tooLong ?? 0,
      netflow_flows_refused: this.netflow?.counters.flowsRefused ?? 0,
    };
  }

  /** Says what there is to say, and ends. */
  close(): void {
    this.stopTimer?.();
    this.stopTimer = undefined;
    this.sampling = undefined;
    this.sflow?.close();
    this.netflow?.close();
    this.ipfix?.exporter.close();
    for (const { exporter } of this.flowIpfix.values()) exporter.close();
    this.flowIpfix.clear();
    this.shared.gone(this);
  }

  private collectors(
    targets: readonly string[],
    defaultPort?: number,
  ): Promise<Collectors | undefined> {
    const { clock, log } = this;
    return Collectors.open(targets, {
      clock,
      log,
      ...(defaultPort !== undefined && { defaultPort }),
    });
  }

  private async configureSflow(config: SflowConfig | undefined): Promise<void> {
    const { shared, source, clock, log } = this;
    this.sflow?.close();
    this.sflow = undefined;
    shared.gone(this);
    if (!config) return;
    const collectors = await this.collectors(config.targets, SFLOW_PORT);
    if (!collectors) return log.warn("no collectors could be initialized, sFlow disabled");
    const agentAddress = chooseAgent(config, collectors);
    if (!agentAddress) {
      log.err("could not determine IP address for sFlow agent");
      return collectors.close();
    }
    this.sflow = new SflowAgent(config, {
      source,
      collectors,
      agentAddress,
      datapath: () => shared.datapathCounts(this),
      now: () => clock.now(),
      random: Math.random,
    });
  }

  private async configureNetflow({ netflow: config }: ExportConfig): Promise<void> {
    if (!config) {
      this.netflow?.close();
      this.netflow = undefined;
      return;
    }
    const collectors = await this.collectors(config.targets);
    if (this.netflow) return this.netflow.configure(collectors, config);
    const { clock, log } = this;
    this.netflow = new Netflow(collectors, config, () => clock.now(), this.wallMs, log);
  }

  private async configureIpfix(config: BridgeIpfixConfig | undefined): Promise<void> {
    this.ipfix?.exporter.close();
    this.ipfix = undefined;
    const exporter = config && await this.exporter(config);
    if (!exporter) return;
    const probability = Math.max(1, Math.floor(ALL / config.samplingRate));
    this.ipfix = { config, exporter, probability };
  }

  private async configureFlowIpfix(configs: readonly FlowIpfixConfig[]): Promise<void> {
    const wanted = new Map(configs.map((config) => [config.collectorSet, config]));
    for (const [id, { config, exporter }] of this.flowIpfix) {
      if (isDeepStrictEqual(wanted.get(id), config)) continue;
      exporter.close();
      this.flowIpfix.delete(id);
    }
    for (const config of configs) {
      if (this.flowIpfix.has(config.collectorSet)) continue;
      const exporter = await this.exporter(config);
      if (exporter) this.flowIpfix.set(config.collectorSet, { config, exporter });
    }
  }

  private async exporter(
    config: BridgeIpfixConfig | FlowIpfixConfig,
  ): Promise<IpfixExporter | undefined> {
    const { log, shared } = this;
    const collectors = await this.collectors(config.targets, IPFIX_PORT);
    if (!collectors) {
      log.warn("no collectors could be initialized, IPFIX exporter disabled");
      return undefined;
    }
    let { virtualId } = config;
    if (virtualId !== undefined && Buffer.byteLength(virtualId) > MAX_VARIABLE_BYTES) {
      log.warn(`virtual obs ID is too long (more than ${MAX_VARIABLE_BYTES} bytes), not exported`);
      virtualId = undefined;
    }
    const limits = { activeTimeoutMs: config.activeTimeoutMs, maxFlows: config.maxFlows };
    const options = { limits, virtualId, exporterId: shared.nextExporter() };
    return new IpfixExporter(collectors, options, this.wallMs);
  }

  /** Tells translation, and begins or ends the ticks. */
  private publish(): void {
    const { sflow, netflow, ipfix, flowIpfix } = this;
    const exportsIpfix = ipfix !== undefined || flowIpfix.size > 0;
    const { source, clock } = this;
    const model: SamplingModel = {
      sflow,
      netflow,
      ipfix: ipfix && {
        probability: ipfix.probability,
        input: ipfix.config.input,
        output: ipfix.config.output,
        tunnels: ipfix.config.tunnels,
      },
      flowIpfix: exportsIpfix
        ? { tunnels: (set) => flowIpfix.get(set)?.config.tunnels ?? false }
        : undefined,
      isTunnel: (dpPort) => isTunnelPort(source, dpPort),
      sample: (sample, packet, key) => this.sample(sample, packet, key),
    };
    const any = sflow !== undefined || netflow !== undefined || exportsIpfix;
    this.sampling = any ? model : undefined;
    this.changed();
    if (!any) {
      this.stopTimer?.();
      this.stopTimer = undefined;
    } else if (!this.stopTimer) {
      const tick = (): void => {
        this.stopTimer = clock.after(TICK_MS, tick);
        this.tick();
      };
      this.stopTimer = clock.after(TICK_MS, tick);
    }
  }

  private tick(): void {
    this.sflow?.tick();
    this.netflow?.run();
    this.ipfix?.exporter.run();
    for (const { exporter } of this.flowIpfix.values()) exporter.run();
  }

  private sample(sample: Sample, packet: Packet, key: FlowKey): void {
    const { cookie } = sample;
    switch (cookie.kind) {
      case "sflow":
        return this.sflow?.sample(sample, packet, key);
      case "ipfix": {
        if (!this.ipfix || isBfd(key)) return;
        const { config, exporter, probability } = this.ipfix;
        const packets = Math.floor(ALL / probability);
        const { outputPort } = cookie;
        const sampled = this.sampled(config, sample, key, outputPort, "", config.pointId);
        return exporter.add(sampled, packet, packets, config.domainId);
      }
      case "flow_sample": {
        const found = this.flowIpfix.get(cookie.collectorSetId);
        if (!found) return;
        const { outputPort, direction, obsPointId, obsDomainId } = cookie;
        const { config, exporter } = found;
        const sampled = this.sampled(config, sample, key, outputPort, direction, obsPointId);
        const packets = Math.floor(ALL_16 / cookie.probability);
        return exporter.add(sampled, packet, packets, obsDomainId);
      }
      default: {
        const never: never = cookie;
        throw new Error(`sample ${never}`);
      }
    }
  }

  private sampled(
    { tunnels }: BridgeIpfixConfig | FlowIpfixConfig,
    sample: Sample,
    key: FlowKey,
    outputPort: number,
    direction: "" | "ingress" | "egress",
    pointId: number,
  ): SampledPacket {
    const { source } = this;
    const tunnel = tunnels ? sampledTunnel(source, key, sample, outputPort) : undefined;
    return new SampledPacket(source, key, sample, outputPort, direction, pointId, tunnel);
  }
}

function isBfd(key: FlowKey): boolean {
  return slotNumber(key, "nw_proto") === UDP && BFD_PORTS.includes(slotNumber(key, "tp_dst"));
}

/**
 * The address by which collectors know the agent: that of the device that `agent` names, or what
 * `agent` says; else the address that the host has towards the collectors, or towards a controller.
 */
function chooseAgent(
  { agent, controlIp }: SflowConfig,
  collectors: Collectors,
): Uint8Array | undefined {
  const ofDevice = agent === undefined ? undefined : networkInterfaces()[agent];
  const device = (ofDevice?.find(({ family }) => family === "IPv4") ?? ofDevice?.[0])?.address;
  for (const text of [device, agent, collectors.localAddress, controlIp]) {
    const address = text === undefined ? undefined : parseIpv4(text) ?? parseIpv6(text);
    if (address) return address;
  }
  return undefined;
}
