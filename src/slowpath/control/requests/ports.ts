/** Ports and queues (OpenFlow 1.3.5 §7.3.4.3, §7.3.5.6–§7.3.5.8). */
import type { QueueCounts } from "../../../fastpath/shaping.ts";
import { OfError } from "../../../openflow/errors.ts";
import type {
  PortDescRequest,
  PortMod,
  PortStats,
  PortStatsRequest,
  QueueGetConfigRequest,
  QueueStatsRequest,
} from "../../../openflow/messages/types.ts";
import { PORTS, QUEUE_ALL } from "../../../openflow/version.ts";
import { sameMac } from "../../bridge/identity.ts";
import type { BridgePort, PortCounts } from "../../bridge/ports.ts";
import type { Agent } from "../agent.ts";

export function answerPortMod(agent: Agent, request: PortMod): void {
  agent.bridge.modifyPort(portToChange(agent, request), request.config, request.mask, agent);
}

/** Throws OfError unless the port is there and its address was given. */
export function portToChange(agent: Agent, request: PortMod): BridgePort {
  const port = agent.bridge.ports.get(request.port);
  if (!port) throw new OfError("OFPPMFC_BAD_PORT", 0, `there is no port ${request.port}`);
  if (!sameMac(port.mac, request.hwAddr)) {
    throw new OfError("OFPPMFC_BAD_HW_ADDR", 0, `port ${port.name} has another Ethernet address`);
  }
  return port;
}

export function answerPortRequest(
  agent: Agent,
  request: PortStatsRequest | PortDescRequest,
  xid: number,
): void {
  const ports = chosen(agent, request.port);
  if (request.type === "port_desc_request") {
    const described = ports.map((port) => port.describe());
    return agent.send({ type: "port_desc_reply", ports: described }, xid);
  }
  const stats = ports.map((port) => statsOf(agent, port));
  agent.send({ type: "port_stats_reply", ports: stats }, xid);
}

function chosen(agent: Agent, number: number): BridgePort[] {
  if (number === PORTS.ANY) {
    return [...agent.bridge.ports.values()].sort((a, b) => a.ofport - b.ofport);
  }
  // A port that is not there has no statistics, which is no error (as in Open vSwitch).
  const port = agent.bridge.ports.get(number);
  return port ? [port] : [];
}

function statsOf(agent: Agent, port: BridgePort): PortStats {
  const stats: PortCounts | undefined = port.patchStats
    ? port.kind === "patch"
      ? { ...port.patchStats, rxDropped: 0, txDropped: 0, rxErrors: 0, txErrors: 0 }
      : port.patchStats
    : agent.bridge.portStats(port);
  const count = (value: number | undefined) => value === undefined ? undefined : BigInt(value);
  const age = Math.max(0, Math.floor(agent.bridge.clock.now() - port.createdAt));
  return {
    port: port.ofport,
    rxPackets: count(stats?.rxPackets),
    txPackets: count(stats?.txPackets),
    rxBytes: count(stats?.rxBytes),
    txBytes: count(stats?.txBytes),
    rxDropped: count(stats?.rxDropped),
    txDropped: count(stats?.txDropped),
    rxErrors: count(stats?.rxErrors),
    txErrors: count(stats?.txErrors),
    rxFrameErrors: count(stats?.rxFrameErrors),
    rxOverErrors: count(stats?.rxOverErrors),
    rxCrcErrors: count(stats?.rxCrcErrors),
    collisions: count(stats?.collisions),
    durationSeconds: Math.floor(age / 1000),
    durationNanoseconds: (age % 1000) * 1e6,
    ...(stats?.custom && {
      custom: [...stats.custom].map(([name, value]) => ({ name, value: BigInt(value) })),
    }),
  };
}

/** Queues that the database made, and those that devices have by themselves, of which nothing is known. */
export function answerQueueRequest(
  agent: Agent,
  request: QueueStatsRequest | QueueGetConfigRequest,
  xid: number,
): void {
  const { port: number, queue } = request;
  // OpenFlow 1.0 says ALL for what is ANY later.
  const every = number === PORTS.ANY || number === PORTS.ALL;
  if (!every && !agent.bridge.ports.has(number)) {
    throw new OfError("OFPQOFC_BAD_PORT", 0, `there is no port ${number}`);
  }
  const found = chosen(agent, every ? PORTS.ANY : number).flatMap((each) =>
    queuesOf(each).filter((id) => queue === QUEUE_ALL || queue === id)
      .map((id) => ({ port: each.ofport, queue: id }))
  );
  if (found.length === 0 && queue !== QUEUE_ALL) {
    throw new OfError("OFPQOFC_BAD_QUEUE", 0, `there is no queue ${queue}`);
  }
  if (request.type === "queue_get_config_request") {
    return agent.send({ type: "queue_get_config_reply", port: number, queues: found }, xid);
  }
  const counts = new Map(
    [...new Set(found.map(({ port }) => port))].map((ofport) => [ofport, sentBy(agent, ofport)]),
  );
  const queues = found.map((each) => {
    const sent = counts.get(each.port)?.get(each.queue);
    return {
      ...each,
      txBytes: sent && BigInt(sent.bytes),
      txPackets: sent && BigInt(sent.packets),
      txErrors: sent && BigInt(sent.drops),
    };
  });
  agent.send({ type: "queue_stats_reply", queues }, xid);
}

function queuesOf({ qos, queues }: BridgePort): readonly number[] {
  return qos?.shape ? [...qos.shape.queues.keys()].sort((a, b) => a - b) : queues;
}

function sentBy({ bridge }: Agent, ofport: number): ReadonlyMap<number, QueueCounts> {
  return bridge.ports.get(ofport)?.qos?.counts() ?? new Map();
}
