/** The switch at a glance: health, throughput now and before, who is busy, and what needs mending. */
import { useState } from "preact/hooks";
import type { Bridges } from "../../../routes/bridges.ts";
import type { Status } from "../../../routes/status.ts";
import type { StatisticsHistory } from "../../../routes/statistics.ts";
import { useApp, useQuery, useTexts } from "../core/app.ts";
import { bitRate, count, duration, short } from "../core/format.ts";
import type { Reading } from "../core/live.ts";
import { placeText } from "../core/router.ts";
import { useStore } from "../core/store.ts";
import { Chart } from "../ui/chart.tsx";
import { Badge, Card, Choice, Dot, Load, Spark, Waiting } from "../ui/parts.tsx";
import { DropReasons } from "./drop-reasons.tsx";
import { Problems } from "./problems.tsx";
import { TopFlows } from "./top-flows.tsx";

export function Overview() {
  const { live } = useApp();
  const status = useQuery<Status>("/status", { live: true });
  const bridges = useQuery<Bridges>("/bridges", { live: true });
  const reading = useStore(live.reading);
  if (status.data === undefined || bridges.data === undefined) {
    return <Waiting error={status.error ?? bridges.error} retry={status.reload} />;
  }
  return (
    <>
      <Tiles status={status.data} reading={reading} />
      <Problems bridges={bridges.data.bridges} status={status.data} />
      <Throughput />
      <div class="columns">
        <TopPorts reading={reading} />
        <TopFlows bridges={bridges.data.bridges} />
        <DropReasons />
        <ControllerList bridges={bridges.data} />
        <About status={status.data} />
      </div>
    </>
  );
}

function Tiles({ status, reading }: { status: Status; reading: Reading | undefined }) {
  const { live } = useApp();
  const t = useTexts();
  const recent = useStore(live.recent);
  const [rx, tx, rxPps, txPps] = reading?.total ?? [0, 0, 0, 0];
  const looked = (reading?.hits ?? 0) + (reading?.misses ?? 0);
  const up = reading?.ports.filter(({ linkUp }) => linkUp).length ?? 0;
  const series = (pick: (one: Reading) => number): number[] => recent.map(pick);
  return (
    <div class="tiles">
      <Tile label={t("Received")} value={bitRate(rx)} sub={`${short(rxPps)} ${t("packets/s")}`}>
        <Spark values={series(({ total }) => total[0])} />
      </Tile>
      <Tile label={t("Sent")} value={bitRate(tx)} sub={`${short(txPps)} ${t("packets/s")}`}>
        <Spark values={series(({ total }) => total[1])} out />
      </Tile>
      <Tile
        label={t("Flow cache")}
        value={looked === 0 ? "–" : `${(100 * (reading?.hits ?? 0) / looked).toFixed(1)} %`}
        sub={t("{n} misses/s", { n: short(reading?.misses ?? 0) })}
      >
        <Spark values={series(({ misses }) => misses)} out />
      </Tile>
      <Tile
        label={t("Dropped")}
        value={`${short(reading?.drops ?? 0)} /s`}
        sub={t("by the datapath")}
      >
        <Spark values={series(({ drops }) => drops)} out />
      </Tile>
      <Tile
        label={t("Flows")}
        value={count(reading?.flows)}
        sub={t("{n} in the datapath", { n: count(reading?.datapathFlows ?? 0) })}
      >
        <Spark values={series(({ datapathFlows }) => datapathFlows)} />
      </Tile>
      <Tile
        label={t("Ports")}
        value={`${up} / ${reading?.ports.length ?? status.ports}`}
        sub={t("up, on {n} bridges", { n: status.bridges })}
      >
        <span />
      </Tile>
    </div>
  );
}

function Tile(
  { label, value, sub, children }: {
    label: string;
    value: string;
    sub: string;
    children: preact.ComponentChildren;
  },
) {
  return (
    <div class="card tile">
      <span class="label">{label}</span>
      <span class="value">{value}</span>
      <span class="sub">{sub}</span>
      {children}
    </div>
  );
}

type Span = "300" | "3600" | "86400" | "2592000";

function Throughput() {
  const { live } = useApp();
  const t = useTexts();
  const [span, setSpan] = useState<Span>("300");
  const recent = useStore(live.recent);
  const past = useQuery<StatisticsHistory>(`/statistics/history?span=${span}`, {
    everyMs: span === "300" ? 600_000 : 10_000,
  });
  const first = recent[0]?.time ?? "";
  // What was before this page was opened, and then each reading.
  const points = span === "300"
    ? [...(past.data?.points ?? []).filter(({ time }) => time < first), ...recent]
    : past.data?.points ?? [];
  return (
    <Card
      title={t("Throughput")}
      actions={
        <Choice
          label={t("Time shown")}
          value={span}
          choices={[
            ["300", t("5 min")],
            ["3600", t("1 h")],
            ["86400", t("24 h")],
            ["2592000", t("30 d")],
          ]}
          onChange={setSpan}
        />
      }
    >
      {points.length < 2
        ? (
          <p class="quiet empty">
            {t("Two readings are needed for a line; they are on their way.")}
          </p>
        )
        : (
          <Chart
            label={t("Throughput")}
            times={points.map(({ time }) => Date.parse(time) / 1000)}
            series={[
              { label: t("Received"), color: "--in", values: points.map(({ total }) => total[0]) },
              { label: t("Sent"), color: "--out", values: points.map(({ total }) => total[1]) },
            ]}
            format={bitRate}
            {...(span === "300" && { span: 300 })}
          />
        )}
    </Card>
  );
}

function TopPorts({ reading }: { readonly reading: Reading | undefined }) {
  const t = useTexts();
  const ports = [...reading?.ports ?? []]
    .sort((a, b) => b.rxBps + b.txBps - a.rxBps - a.txBps || b.rxBytes - a.rxBytes).slice(0, 8);
  const most = Math.max(1, ...ports.map(({ rxBps, txBps }) => rxBps + txBps));
  return (
    <Card title={t("Busiest ports")}>
      {ports.length === 0 ? <p class="quiet empty">{t("No ports yet.")}</p> : (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>{t("Port")}</th>
                <th class="number">{t("Received")}</th>
                <th class="number">{t("Sent")}</th>
              </tr>
            </thead>
            <tbody>
              {ports.map((port) => (
                <tr key={`${port.bridge}/${port.name}`}>
                  <td>
                    <Dot
                      tone={port.linkUp ? "good" : port.kind === "internal" ? undefined : "bad"}
                    />{" "}
                    <a href={placeText(["bridges", port.bridge, port.name])}>{port.name}</a>{" "}
                    <span class="faint">{port.bridge}</span>
                    <Load part={(port.rxBps + port.txBps) / most} />
                  </td>
                  <td class="number">{bitRate(port.rxBps)}</td>
                  <td class="number">{bitRate(port.txBps)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function ControllerList({ bridges: { bridges } }: { readonly bridges: Bridges }) {
  const t = useTexts();
  const all = bridges.flatMap(({ name, controllers }) =>
    controllers.map((controller) => ({ bridge: name, ...controller }))
  );
  return (
    <Card title={t("Controllers")}>
      <div class="body">
        {all.length === 0
          ? (
            <p class="quiet">
              {t(
                "No bridge has a controller: each forwards by learned addresses and its own flows.",
              )}
            </p>
          )
          : (
            <ul class="stack">
              {all.map(({ bridge, target, connected }) => (
                <li class="row" key={`${bridge} ${target}`}>
                  <Dot tone={connected ? "good" : "bad"} />
                  <span class="mono">{target}</span>
                  <span class="faint">{bridge}</span>
                  <span class="push">
                    <Badge tone={connected ? "good" : "bad"}>
                      {connected ? t("connected") : t("not connected")}
                    </Badge>
                  </span>
                </li>
              ))}
            </ul>
          )}
      </div>
    </Card>
  );
}

function About({ status }: { readonly status: Status }) {
  const t = useTexts();
  const { configuration } = status;
  return (
    <Card title={t("This switch")} padded>
      <dl class="facts">
        <dt>{t("Version")}</dt>
        <dd>
          solovs {status.version}, {t("speaks as Open vSwitch {version}", {
            version: status.ovsVersion ?? "–",
          })}
        </dd>
        <dt>{t("Up for")}</dt>
        <dd>{duration(status.uptimeSeconds)}</dd>
        <dt>{t("Datapath")}</dt>
        <dd>{status.datapathType || t("not opened yet: no bridge needs it")}</dd>
        <dt>{t("Configuration")}</dt>
        <dd>
          {configuration.inForce
            ? <Badge tone="good">{t("in force")}</Badge>
            : <Badge tone="warn">{t("being applied")}</Badge>}
        </dd>
      </dl>
    </Card>
  );
}
