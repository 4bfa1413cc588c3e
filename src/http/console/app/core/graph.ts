/** The switch as a graph: bridges, their ports, what is behind them; and where all of it is drawn. */
import { graphlib, layout } from "@dagrejs/dagre";
import type { Bridge } from "../../../routes/bridges.ts";
import type { Reading } from "./live.ts";

export interface Mac {
  readonly mac: string;
  readonly vlan: number;
  readonly port: number | null;
  readonly portName: string | null;
  readonly addresses: readonly string[];
}

/** What is placed: its size, in pixels. */
export interface Box {
  readonly id: string;
  readonly width: number;
  readonly height: number;
}

export interface Link {
  readonly from: string;
  readonly to: string;
}

export type NodeKind = "bridge" | "port" | "host" | "remote";

export interface GraphNode extends Box {
  readonly kind: NodeKind;
  readonly label: string;
  readonly sub: string;
  readonly up: boolean;
  readonly bridge: string;
  readonly port?: string;
}

export interface GraphEdge extends Link {
  /** The port whose traffic this is: `BRIDGE/PORT`. */
  readonly traffic?: string;
  readonly up: boolean;
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

/** Hosts drawn at one port; more become one node with their number. */
const MOST_HOSTS = 4;
const SIZES: Readonly<Record<NodeKind, readonly [number, number]>> = {
  bridge: [132, 48],
  port: [104, 34],
  host: [158, 44],
  remote: [150, 44],
};

export function graphOf(
  bridges: readonly Bridge[],
  macs: Readonly<Record<string, readonly Mac[]>>,
): Graph {
  const nodes: GraphNode[] = [];
  const edges: GraphEdge[] = [];
  const node = (
    kind: NodeKind,
    id: string,
    more: Omit<GraphNode, "kind" | "id" | "width" | "height">,
  ) => {
    const [width, height] = SIZES[kind];
    if (!nodes.some((each) => each.id === id)) nodes.push({ kind, id, width, height, ...more });
  };
  const bridgeOfPort = new Map(
    bridges.flatMap(({ name, ports }) => ports.map((port) => [port.name, name] as const)),
  );
  for (const bridge of bridges) {
    const at = bridge.name;
    const connected = bridge.controllers.filter((each) => each.connected).length;
    const sub = bridge.controllers.length === 0
      ? bridge.failMode
      : `${connected}/${bridge.controllers.length} ctl`;
    node("bridge", `b ${at}`, { label: at, sub, up: true, bridge: at });
    const learned = macs[at] ?? [];
    for (const port of bridge.ports) {
      for (const one of port.interfaces) {
        const up = one.error === null && one.linkState !== "down";
        const traffic = `${at}/${one.name}`;
        if (one.type === "patch") {
          const peer = one.options["peer"] ?? "";
          const other = bridgeOfPort.get(peer);
          // One line for both ends.
          if (other !== undefined && one.name < peer) {
            edges.push({ from: `b ${at}`, to: `b ${other}`, traffic, up });
          }
          continue;
        }
        const id = `p ${at} ${one.name}`;
        node("port", id, {
          label: one.name,
          sub: port.tag === null ? one.type || "" : `VLAN ${port.tag}`,
          up: up || one.type === "internal",
          bridge: at,
          port: port.name,
        });
        edges.push({ from: `b ${at}`, to: id, traffic, up: up || one.type === "internal" });
        const remote = one.options["remote_ip"];
        if (remote !== undefined) {
          node("remote", `r ${remote}`, { label: remote, sub: one.type, up, bridge: at });
          edges.push({ from: id, to: `r ${remote}`, traffic, up });
        }
        const hosts = learned.filter(({ portName, mac }) =>
          portName === one.name && mac !== one.mac
        );
        hosts.slice(0, hosts.length > MOST_HOSTS ? 0 : MOST_HOSTS).forEach(({ mac, addresses }) => {
          const host = `h ${at} ${mac}`;
          node("host", host, {
            label: addresses[0] ?? mac,
            sub: addresses.length > 0 ? mac : "",
            up,
            bridge: at,
            port: port.name,
          });
          edges.push({ from: id, to: host, traffic, up });
        });
        if (hosts.length > MOST_HOSTS) {
          const many = `h ${id}`;
          const label = `${hosts.length} MAC`;
          node("host", many, { label, sub: hosts[0]?.mac ?? "", up, bridge: at, port: port.name });
          edges.push({ from: id, to: many, traffic, up });
        }
      }
    }
  }
  return { nodes, edges };
}

export interface Placed {
  readonly width: number;
  readonly height: number;
  readonly nodes: ReadonlyMap<string, { readonly x: number; readonly y: number }>;
  /** Points of each edge, in the order of the edges. */
  readonly paths: readonly string[];
}

export function placeGraph(
  { nodes, edges }: { readonly nodes: readonly Box[]; readonly edges: readonly Link[] },
  upright: boolean,
  /** Between neighbours along an edge, in pixels. */
  gap = upright ? 54 : 90,
): Placed {
  const graph = new graphlib.Graph({ multigraph: true });
  graph.setGraph({
    rankdir: upright ? "TB" : "LR",
    nodesep: 16,
    ranksep: gap,
    marginx: 14,
    marginy: 14,
  });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id, width, height } of nodes) graph.setNode(id, { width, height });
  edges.forEach(({ from, to }, i) => graph.setEdge(from, to, {}, String(i)));
  layout(graph);
  const size = graph.graph() as { width?: number; height?: number };
  const points = (i: number): readonly { x: number; y: number }[] => {
    const { from, to } = edges[i] as Link;
    return (graph.edge(from, to, String(i)) as { points: { x: number; y: number }[] }).points;
  };
  return {
    width: Math.max(200, size.width ?? 0),
    height: Math.max(120, size.height ?? 0),
    nodes: new Map(nodes.map(({ id }) => [id, graph.node(id) as { x: number; y: number }])),
    paths: edges.map((_, i) => smooth(points(i))),
  };
}

/** A curve through the points' middles. */
function smooth(points: readonly { x: number; y: number }[]): string {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  const at = ({ x, y }: { x: number; y: number }): string => `${x.toFixed(1)} ${y.toFixed(1)}`;
  const last = rest.at(-1) ?? first;
  let path = `M${at(first)}`;
  for (let i = 0; i < rest.length - 1; i++) {
    const [a, b] = [rest[i]!, rest[i + 1]!];
    path += `Q${at(a)} ${at({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 })}`;
  }
  return `${path}L${at(last)}`;
}

export interface Traffic {
  readonly rxBps: number;
  readonly txBps: number;
  /** Part of what the link carries at most, 0 to 1. */
  readonly load: number;
}

/** A link without a speed of its own is taken for one of 10 Gbit/s. */
const USUAL_SPEED = 1e10;

export function trafficOf(reading: Reading | undefined): ReadonlyMap<string, Traffic> {
  return new Map((reading?.ports ?? []).map((port) => {
    const { rxBps, txBps, linkSpeedBps } = port;
    const load = Math.max(rxBps, txBps) / (linkSpeedBps ?? USUAL_SPEED);
    return [`${port.bridge}/${port.name}`, { rxBps, txBps, load }];
  }));
}
