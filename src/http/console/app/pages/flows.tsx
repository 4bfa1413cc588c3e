/** OpenFlow tables: searched, watched and changed. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Bridges } from "../../../routes/bridges.ts";
import { part } from "../core/api.ts";
import { useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { searchTest } from "../core/flow-search.ts";
import { bitRate, bytes, count, short } from "../core/format.ts";
import { BridgeChoice } from "../ui/buttons.tsx";
import { Icon } from "../ui/icons.tsx";
import type { PageProps } from "../ui/pages.tsx";
import { Badge, Card, Empty, Load, Waiting } from "../ui/parts.tsx";
import { FlowDialog } from "./flow-dialog.tsx";
import { FlowEditor } from "./flow-editor.tsx";
import { type Flow, flowKey, FlowRates, type FlowsJson, type Rate } from "./flow-rates.ts";

const SHOWN_AT_FIRST = 200;
const MOST = 10_000;

type Order = "table" | "priority" | "packets" | "rate";

export function Flows({ rest: [chosen], query: { q = "" } }: PageProps) {
  const { router } = useApp();
  const t = useTexts();
  const bridges = useQuery<Bridges>("/bridges", { live: true });
  if (bridges.data === undefined) return <Waiting error={bridges.error} retry={bridges.reload} />;
  const all = bridges.data.bridges;
  const bridge = all.find(({ name }) => name === chosen) ?? all[0];
  if (bridge === undefined) {
    return (
      <Card>
        <Empty icon="flows" title={t("No bridge, no flows")}>
          <p>{t("Flows say what a bridge does with packets. Make a bridge first.")}</p>
          <a class="button primary" href="#/bridges?add=bridge">{t("Make a bridge")}</a>
        </Empty>
      </Card>
    );
  }
  return (
    <FlowTable
      key={bridge.name}
      bridge={bridge.name}
      bridges={all.map(({ name }) => name)}
      ports={bridge.ports.flatMap(({ interfaces }) => interfaces.map(({ name }) => name))}
      search={q}
      onSearch={(text) => router.replaceQuery({ q: text })}
      onBridge={(name) => router.go(["flows", name])}
    />
  );
}

interface FlowTableProps {
  readonly bridge: string;
  readonly bridges: readonly string[];
  readonly ports: readonly string[];
  readonly search: string;
  readonly onSearch: (text: string) => void;
  readonly onBridge: (name: string) => void;
}

type Open = { readonly what: "add" } | { readonly what: "show" | "edit"; readonly flow: Flow };

function FlowTable({ bridge, bridges, ports, search, onSearch, onBridge }: FlowTableProps) {
  const t = useTexts();
  const may = useMay("operator");
  const { data, error, reload } = useQuery<FlowsJson>(
    `/bridges/${part(bridge)}/flows?limit=${MOST}`,
    { everyMs: 3000 },
  );
  const rates = useRates(data);
  const [order, setOrder] = useState<Order>("table");
  const [most, setMost] = useState(SHOWN_AT_FIRST);
  const [open, setOpen] = useState<Open>();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const slash = (event: KeyboardEvent): void => {
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
      if (event.key !== "/" || typing) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener("keydown", slash);
    return () => removeEventListener("keydown", slash);
  }, []);
  const found = useMemo(() => {
    const test = searchTest(search);
    return (data?.flows ?? []).filter((flow) => test(flow, rates.get(flowKey(flow))))
      .sort(comparison(order, rates));
  }, [data, search, order, rates]);
  const close = (): void => {
    setOpen(undefined);
    reload();
  };
  const fastest = Math.max(1, ...[...rates.values()].map(({ bps }) => bps));
  const current = open?.what === "show"
    ? data?.flows.find((flow) => flowKey(flow) === flowKey(open.flow)) ?? open.flow
    : undefined;
  return (
    <>
      <div class="row">
        <BridgeChoice names={bridges} chosen={bridge} onChoose={onBridge} />
        <div class="search">
          <Icon name="search" />
          <input
            ref={field}
            type="search"
            aria-label={t("Search flows")}
            placeholder={t("Search: tcp  nw_dst=10.0.0.1  actions=drop  packets>100  cookie=0x1")}
            spellcheck={false}
            value={search}
            onInput={(event) => onSearch(event.currentTarget.value)}
          />
        </div>
        {may && (
          <button type="button" class="primary" onClick={() => setOpen({ what: "add" })}>
            <Icon name="add" /> {t("Add a flow")}
          </button>
        )}
      </div>
      <Card
        title={
          <>
            <h2>{t("Flows of {bridge}", { bridge })}</h2>
            <span class="quiet">
              {search === ""
                ? count(data?.total)
                : t("{n} of {all}", { n: count(found.length), all: count(data?.total) })}
            </span>
          </>
        }
        actions={
          <label class="row tight">
            <span class="quiet">{t("Order")}</span>
            <select
              class="auto small"
              value={order}
              onChange={(event) => setOrder(event.currentTarget.value as Order)}
            >
              <option value="table">{t("table, priority")}</option>
              <option value="priority">{t("priority")}</option>
              <option value="packets">{t("packets")}</option>
              <option value="rate">{t("rate now")}</option>
            </select>
          </label>
        }
      >
        {data === undefined && <Waiting error={error} retry={reload} />}
        {data?.total === 0 && (
          <Empty icon="flows" title={t("No flows")}>
            <p>
              {t(
                "Without flows, this bridge drops every packet. One flow makes it an ordinary switch " +
                  "again:",
              )}
            </p>
            <code>ovs-ofctl add-flow {bridge} actions=NORMAL</code>
          </Empty>
        )}
        {data !== undefined && data.total > 0 && found.length === 0 && (
          <Empty icon="search" title={t("No flow fits the search")}>
            <p>
              {t(
                "All words must fit: in the match, in the actions, or as a number like packets>0.",
              )}
            </p>
          </Empty>
        )}
        {found.length > 0 && (
          <div class="scroll">
            <table class="stacks flows">
              <thead>
                <tr>
                  <th class="number">{t("Table")}</th>
                  <th class="number">{t("Priority")}</th>
                  <th>{t("Match")}</th>
                  <th>{t("Actions")}</th>
                  <th class="number">{t("Packets")}</th>
                  <th class="number">{t("Rate")}</th>
                </tr>
              </thead>
              <tbody>
                {found.slice(0, most).map((flow) => (
                  <FlowRow
                    key={flowKey(flow)}
                    flow={flow}
                    rate={rates.get(flowKey(flow))}
                    fastest={fastest}
                    onPick={() => setOpen({ what: "show", flow })}
                  />
                ))}
              </tbody>
            </table>
          </div>
        )}
        {found.length > most && (
          <p class="more">
            <button type="button" onClick={() => setMost(most * 4)}>
              {t("Show more ({n} left)", { n: count(found.length - most) })}
            </button>
          </p>
        )}
      </Card>
      {open?.what === "add" && <FlowEditor bridge={bridge} ports={ports} onClose={close} />}
      {open?.what === "edit" && (
        <FlowEditor bridge={bridge} ports={ports} flow={open.flow} onClose={close} />
      )}
      {current !== undefined && (
        <FlowDialog
          bridge={bridge}
          flow={current}
          rate={rates.get(flowKey(current))}
          onEdit={() => setOpen({ what: "edit", flow: current })}
          onClose={close}
        />
      )}
    </>
  );
}

/** Rates from one answer to the next. */
function useRates(data: FlowsJson | undefined): ReadonlyMap<string, Rate> {
  const [meter] = useState(() => new FlowRates());
  return useMemo(() => {
    const rates = new Map<string, Rate>();
    for (const flow of data?.flows ?? []) {
      const key = flowKey(flow);
      const rate = meter.of(key, flow);
      if (rate !== undefined) rates.set(key, rate);
    }
    return rates;
  }, [data]);
}

function comparison(order: Order, rates: ReadonlyMap<string, Rate>) {
  const usual = (a: Flow, b: Flow): number =>
    a.table - b.table || b.priority - a.priority || (a.match < b.match ? -1 : 1);
  const by = (value: (flow: Flow) => number) => (a: Flow, b: Flow): number =>
    value(b) - value(a) || usual(a, b);
  switch (order) {
    case "table":
      return usual;
    case "priority":
      return by(({ priority }) => priority);
    case "packets":
      return by(({ packets }) => packets ?? 0);
    case "rate":
      return by((flow) => rates.get(flowKey(flow))?.bps ?? 0);
    default: {
      const never: never = order;
      return never;
    }
  }
}

interface FlowRowProps {
  readonly flow: Flow;
  readonly rate: Rate | undefined;
  readonly fastest: number;
  readonly onPick: () => void;
}

function FlowRow({ flow, rate, fastest, onPick }: FlowRowProps) {
  const t = useTexts();
  const parts = flow.match === "" ? [] : flow.match.split(",");
  return (
    <tr
      class="pick"
      tabIndex={0}
      onClick={onPick}
      onKeyDown={(event) => {
        if (event.key === "Enter") onPick();
      }}
    >
      <td class="number" data-name={t("Table")}>{flow.table}</td>
      <td class="number" data-name={t("Priority")}>{flow.priority}</td>
      <td data-name={t("Match")}>
        <span class="row tight">
          {parts.length === 0 && <span class="faint">{t("every packet")}</span>}
          {parts.map((each) => <code class="term" key={each}>{each}</code>)}
          {flow.cookie !== "0x0" && <Badge>{flow.cookie}</Badge>}
        </span>
      </td>
      <td class="wrap" data-name={t("Actions")}>
        <code class={flow.actions === "drop" ? "bad" : ""}>{flow.actions}</code>
      </td>
      <td class="number" data-name={t("Packets")}>
        <span title={bytes(flow.bytes ?? 0)}>{count(flow.packets)}</span>
      </td>
      <td class="number rate" data-name={t("Rate")}>
        {rate !== undefined && rate.pps > 0
          ? (
            <span title={`${short(rate.pps)} ${t("packets/s")}`}>
              {bitRate(rate.bps)}
              <Load part={rate.bps / fastest} />
            </span>
          )
          : <span class="faint">–</span>}
      </td>
    </tr>
  );
}
