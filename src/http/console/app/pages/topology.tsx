/** The switch as a picture: bridges, ports and who is behind them, links coloured by their load. */
import { useEffect, useMemo, useState } from "preact/hooks";
import type { Bridges } from "../../../routes/bridges.ts";
import { part } from "../core/api.ts";
import { useApp, useNarrow, useQuery, useTexts } from "../core/app.ts";
import { bitRate } from "../core/format.ts";
import {
  type Graph,
  type GraphNode,
  graphOf,
  type Mac,
  placeGraph,
  type Traffic,
  trafficOf,
} from "../core/graph.ts";
import { placeText } from "../core/router.ts";
import { useStore } from "../core/store.ts";
import { Card, Empty, Waiting } from "../ui/parts.tsx";

const MACS_EVERY_MS = 5000;

export function Topology() {
  const { live } = useApp();
  const t = useTexts();
  const { data, error, reload } = useQuery<Bridges>("/bridges", { live: true });
  const macs = useMacs(data?.bridges.map(({ name }) => name) ?? []);
  const reading = useStore(live.reading);
  const upright = useNarrow();
  const graph = useMemo(() => graphOf(data?.bridges ?? [], macs), [data, macs]);
  // Placing takes time: only when the picture has other parts, not when a number changes.
  const shape = JSON.stringify([
    graph.nodes.map(({ id }) => id),
    graph.edges.map((e) => [e.from, e.to]),
  ]);
  const placed = useMemo(() => placeGraph(graph, upright), [shape, upright]);
  if (data === undefined) return <Waiting error={error} retry={reload} />;
  if (data.bridges.length === 0) {
    return (
      <Card>
        <Empty icon="topology" title={t("Nothing to draw yet")}>
          <p>{t("Bridges, their ports and the hosts behind them appear here as they come.")}</p>
          <a class="button primary" href="#/bridges?add=bridge">{t("Make a bridge")}</a>
        </Empty>
      </Card>
    );
  }
  const traffic = trafficOf(reading);
  const known = new Map(graph.nodes.map((node) => [node.id, node]));
  return (
    <Card
      title={t("As it is now")}
      actions={
        <ul class="legend quiet">
          <li class="l0">{t("idle")}</li>
          <li class="l1">{t("in use")}</li>
          <li class="l2">{t("over half")}</li>
          <li class="l3">{t("nearly full")}</li>
          <li class="down">{t("down")}</li>
        </ul>
      }
    >
      <div class="picture">
        <svg
          viewBox={`0 0 ${placed.width} ${placed.height}`}
          width={placed.width}
          height={placed.height}
          role="img"
          aria-label={t("Topology")}
        >
          {graph.edges.map((edge, i) => (
            <Link
              key={`${edge.from} ${edge.to} ${edge.traffic}`}
              path={placed.paths[i] ?? ""}
              up={edge.up}
              traffic={edge.traffic === undefined ? undefined : traffic.get(edge.traffic)}
              label={edge.traffic ?? ""}
            />
          ))}
          {[...placed.nodes].map(([id, { x, y }]) => {
            const node = known.get(id);
            return node && <Node key={id} node={node} x={x} y={y} traffic={traffic} />;
          })}
        </svg>
      </div>
      <HostTable graph={graph} />
    </Card>
  );
}

const levelOf = (load: number, busy: boolean): string =>
  !busy ? "l0" : load > 0.8 ? "l3" : load > 0.5 ? "l2" : "l1";

function Link(
  { path, up, traffic, label }: {
    readonly path: string;
    readonly up: boolean;
    readonly traffic: Traffic | undefined;
    readonly label: string;
  },
) {
  const most = Math.max(traffic?.rxBps ?? 0, traffic?.txBps ?? 0);
  const busy = most > 0;
  // A decade of rate is a pixel and a half of width.
  const width = busy ? Math.min(8, 1.5 + 1.1 * Math.max(0, Math.log10(most) - 3)) : 1.5;
  const text = traffic
    ? `${label}: ↓ ${bitRate(traffic.rxBps)} ↑ ${bitRate(traffic.txBps)}`
    : label;
  return (
    <g class={`link ${up ? levelOf(traffic?.load ?? 0, busy) : "down"}`}>
      <title>{text}</title>
      <path d={path} stroke-width={width} />
      {busy && up && <path class="moving" d={path} stroke-width={Math.max(1.2, width / 3)} />}
    </g>
  );
}

const cut = (text: string, most: number): string =>
  text.length > most ? `${text.slice(0, most - 1)}…` : text;

function Node(
  { node, x, y, traffic }: {
    readonly node: GraphNode;
    readonly x: number;
    readonly y: number;
    readonly traffic: ReadonlyMap<string, Traffic>;
  },
) {
  const { kind, label, sub, up, bridge, port, width, height } = node;
  const now = kind === "port" ? traffic.get(`${bridge}/${label}`) : undefined;
  const second = now && now.rxBps + now.txBps > 0 ? bitRate(Math.max(now.rxBps, now.txBps)) : sub;
  return (
    <a href={hrefOf(node)}>
      <g
        class={`node ${kind} ${up ? "" : "down"}`}
        transform={`translate(${x - width / 2} ${y - height / 2})`}
      >
        <title>{[label, sub, port].filter(Boolean).join(" · ")}</title>
        <rect width={width} height={height} rx={kind === "bridge" ? 10 : height / 2} />
        <text x={width / 2} y={second === "" ? height / 2 + 4.5 : height / 2 - 2}>
          {cut(label, kind === "port" ? 13 : 20)}
        </text>
        {second !== "" && (
          <text class="sub" x={width / 2} y={height / 2 + 12}>{cut(second, 22)}</text>
        )}
      </g>
    </a>
  );
}

function hrefOf({ kind, bridge, port, sub, label }: GraphNode): string {
  switch (kind) {
    case "bridge":
      return placeText(["bridges", bridge]);
    case "port":
      return placeText(["bridges", bridge, port ?? ""]);
    case "remote":
      return placeText(["bridges", bridge]);
    case "host":
      return placeText(["flows", bridge], { q: sub === "" ? label : sub });
    default: {
      const never: never = kind;
      return never;
    }
  }
}

/** The same for those who do not see the picture. */
function HostTable({ graph }: { readonly graph: Graph }) {
  const t = useTexts();
  const hosts = graph.nodes.filter(({ kind }) => kind === "host");
  if (hosts.length === 0) {
    return (
      <p class="quiet empty">{t("No host was heard yet. One appears with its first packet.")}</p>
    );
  }
  return (
    <details class="body">
      <summary>{t("Hosts as a table ({n})", { n: hosts.length })}</summary>
      <table>
        <thead>
          <tr>
            <th>{t("Host")}</th>
            <th>{t("MAC")}</th>
            <th>{t("Port")}</th>
            <th>{t("Bridge")}</th>
          </tr>
        </thead>
        <tbody>
          {hosts.map(({ id, label, sub, port, bridge }) => (
            <tr key={id}>
              <td class="mono">{label}</td>
              <td class="mono">{sub || label}</td>
              <td>{port}</td>
              <td>{bridge}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

function useMacs(bridges: readonly string[]): Readonly<Record<string, readonly Mac[]>> {
  const { api } = useApp();
  const [macs, setMacs] = useState<Readonly<Record<string, readonly Mac[]>>>({});
  const names = bridges.join(" ");
  useEffect(() => {
    let stopped = false;
    const look = async (): Promise<void> => {
      if (document.visibilityState !== "visible") return;
      const all = await Promise.all(
        names.split(" ").filter(Boolean).map(async (name) => {
          const path = `/bridges/${part(name)}/macs`;
          const answer = await api.get<{ macs: Mac[] }>(path).catch(() => undefined);
          return [name, answer?.macs ?? []] as const;
        }),
      );
      if (!stopped) setMacs(Object.fromEntries(all));
    };
    void look();
    const timer = setInterval(() => void look(), MACS_EVERY_MS);
    return () => {
      stopped = true;
      clearInterval(timer);
    };
  }, [names]);
  return macs;
}
