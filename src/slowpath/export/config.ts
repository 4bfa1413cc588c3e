/**
 * What the database wants exported of a bridge (ovs-vswitchd.conf.db(5), tables NetFlow, sFlow, IPFIX
 * and Flow_Sample_Collector_Set), with Open vSwitch's defaults. Plain data, compared to see changes.
 */
import type { Replica, Row } from "../../db/replica.ts";

export interface SflowConfig {
  readonly targets: readonly string[];
  readonly samplingRate: number;
  readonly pollingSec: number;
  readonly headerBytes: number;
  /** A device whose address the agent has, or the address. */
  readonly agent: string | undefined;
  /** The agent's address when nothing else tells: what a controller said. */
  readonly controlIp: string | undefined;
  readonly subAgent: number;
}

export interface NetflowConfig {
  readonly targets: readonly string[];
  readonly engineType: number;
  readonly engineId: number;
  readonly activeTimeoutMs: number;
  readonly addIdToInterface: boolean;
}

export interface IpfixConfig {
  readonly targets: readonly string[];
  readonly activeTimeoutMs: number;
  readonly maxFlows: number;
  readonly tunnels: boolean;
  readonly virtualId: string | undefined;
}

export interface BridgeIpfixConfig extends IpfixConfig {
  readonly samplingRate: number;
  readonly domainId: number;
  readonly pointId: number;
  readonly input: boolean;
  readonly output: boolean;
}

export interface FlowIpfixConfig extends IpfixConfig {
  readonly collectorSet: number;
}

export interface ExportConfig {
  readonly sflow: SflowConfig | undefined;
  readonly netflow: NetflowConfig | undefined;
  readonly ipfix: BridgeIpfixConfig | undefined;
  readonly flowIpfix: readonly FlowIpfixConfig[];
}

const DEFAULT_SAMPLING = 400;
const DEFAULT_POLLING_SEC = 30;
const DEFAULT_HEADER_BYTES = 128;
/** More does not fit a datagram. */
const MAX_HEADER_BYTES = 1024;
const DEFAULT_ACTIVE_TIMEOUT_SEC = 600;
const DISABLED = -1;
/** Interface numbers with the engine's number in them have room for so many ports. */
const MANY_PORTS = 508;
const MAX_ID_IN_INTERFACE = 0x7f;

export function readExportConfig(
  replica: Replica,
  row: Row<"Bridge">,
  say: (text: string) => void,
): ExportConfig {
  return {
    sflow: sflowOf(replica, row, say),
    netflow: netflowOf(replica, row, say),
    ipfix: bridgeIpfixOf(replica, row),
    flowIpfix: flowIpfixOf(replica, row),
  };
}

function sflowOf(
  replica: Replica,
  bridge: Row<"Bridge">,
  say: (text: string) => void,
): SflowConfig | undefined {
  const row = bridge.sflow === undefined ? undefined : replica.rows("sFlow").get(bridge.sflow);
  if (!row || row.targets.length === 0) return undefined;
  const atLeast = (value: number | undefined, least: number, otherwise: number): number =>
    value === undefined || value < least ? otherwise : value;
  if ((row.header ?? 0) > MAX_HEADER_BYTES) {
    say(`bridge ${bridge.name}: sFlow samples have ${MAX_HEADER_BYTES} bytes of a packet at most`);
  }
  const controllers = bridge.controller.map((uuid) => replica.rows("Controller").get(uuid));
  // Without sampling there is nothing at all, as in Open vSwitch.
  if (row.sampling !== undefined && row.sampling <= 0) return undefined;
  return {
    targets: [...row.targets].sort(),
    samplingRate: row.sampling ?? DEFAULT_SAMPLING,
    pollingSec: atLeast(row.polling, 0, DEFAULT_POLLING_SEC),
    headerBytes: Math.min(atLeast(row.header, 0, DEFAULT_HEADER_BYTES), MAX_HEADER_BYTES),
    agent: row.agent,
    controlIp: controllers.find((each) => each?.local_ip !== undefined)?.local_ip,
    subAgent: subAgentOf(replica, bridge),
  };
}

/** Bridges with sFlow are counted in their order. */
function subAgentOf(replica: Replica, bridge: Row<"Bridge">): number {
  let number = 0;
  for (const { bridges } of replica.rows("Open_vSwitch").values()) {
    for (const uuid of bridges) {
      if (uuid === bridge._uuid) return number;
      if (replica.rows("Bridge").get(uuid)?.sflow !== undefined) number++;
    }
  }
  return number;
}

function netflowOf(
  replica: Replica,
  bridge: Row<"Bridge">,
  say: (text: string) => void,
): NetflowConfig | undefined {
  const row = bridge.netflow === undefined
    ? undefined
    : replica.rows("NetFlow").get(bridge.netflow);
  if (!row) return undefined;
  const engineId = row.engine_id ?? 0;
  if (row.add_id_to_interface && engineId > MAX_ID_IN_INTERFACE) {
    say(
      `bridge ${bridge.name}: NetFlow port mangling may conflict with another vswitch, ` +
        "choose an engine id less than 128",
    );
  }
  if (row.add_id_to_interface && bridge.ports.length > MANY_PORTS) {
    say(
      `bridge ${bridge.name}: NetFlow port mangling will conflict with another port when more than ` +
        `${MANY_PORTS} ports are used`,
    );
  }
  const seconds = row.active_timeout === DISABLED
    ? 0
    : row.active_timeout || DEFAULT_ACTIVE_TIMEOUT_SEC;
  return {
    targets: [...row.targets].sort(),
    engineType: row.engine_type ?? 0,
    engineId,
    activeTimeoutMs: seconds * 1000,
    addIdToInterface: row.add_id_to_interface,
  };
}

function ipfixOf(row: Row<"IPFIX">): IpfixConfig {
  return {
    targets: [...row.targets].sort(),
    activeTimeoutMs: (row.cache_active_timeout ?? 0) * 1000,
    maxFlows: row.cache_max_flows ?? 0,
    tunnels: flag(row, "enable-tunnel-sampling", true),
    virtualId: row.other_config.get("virtual_obs_id"),
  };
}

function bridgeIpfixOf(replica: Replica, bridge: Row<"Bridge">): BridgeIpfixConfig | undefined {
  const row = bridge.ipfix === undefined ? undefined : replica.rows("IPFIX").get(bridge.ipfix);
  if (!row || row.targets.length === 0) return undefined;
  return {
    ...ipfixOf(row),
    samplingRate: row.sampling ?? DEFAULT_SAMPLING,
    domainId: row.obs_domain_id ?? 0,
    pointId: row.obs_point_id ?? 0,
    input: flag(row, "enable-input-sampling", true),
    output: flag(row, "enable-output-sampling", true),
  };
}

function flowIpfixOf(replica: Replica, bridge: Row<"Bridge">): FlowIpfixConfig[] {
  const sets: FlowIpfixConfig[] = [];
  for (const set of replica.rows("Flow_Sample_Collector_Set").values()) {
    const row = set.ipfix === undefined ? undefined : replica.rows("IPFIX").get(set.ipfix);
    if (set.bridge !== bridge._uuid || !row || row.targets.length === 0) continue;
    sets.push({ ...ipfixOf(row), collectorSet: set.id });
  }
  return sets.sort((a, b) => a.collectorSet - b.collectorSet);
}

/** `other_config`, which has "true" and "false" in any case. */
function flag({ other_config }: Row<"IPFIX">, name: string, otherwise: boolean): boolean {
  const text = other_config.get(name)?.toLowerCase();
  return text === undefined ? otherwise : otherwise ? text !== "false" : text === "true";
}
