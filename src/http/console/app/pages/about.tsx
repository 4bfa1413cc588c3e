/** What this switch is, what it runs on, and what the kernel under it can do. */
import type { AboutJson } from "../../../routes/about.ts";
import { useApp, useQuery, useTexts } from "../core/app.ts";
import { bytes, count, duration } from "../core/format.ts";
import { Badge, Card, Dot, Waiting } from "../ui/parts.tsx";

export function About() {
  const t = useTexts();
  const { data, error, reload } = useQuery<AboutJson>("/about", { everyMs: 5000 });
  if (data === undefined) return <Waiting error={error} retry={reload} />;
  const { process, host } = data;
  return (
    <>
      <div class="columns">
        <Card title={t("Versions")} padded>
          <dl class="facts">
            <dt>solovs</dt>
            <dd>{data.version}</dd>
            <dt>{t("Speaks as")}</dt>
            <dd>Open vSwitch {data.ovsVersion ?? "–"}</dd>
            <dt>{t("Runtime")}</dt>
            <dd>Bun {data.runtime}</dd>
            <dt>{t("Database schema")}</dt>
            <dd>Open_vSwitch {data.schema}</dd>
            <dt>{t("License")}</dt>
            <dd>Apache-2.0</dd>
          </dl>
        </Card>
        <Card title={t("Host")} padded>
          <dl class="facts">
            <dt>{t("Name")}</dt>
            <dd>{host.name}</dd>
            <dt>{t("Kernel")}</dt>
            <dd>{host.kernel}</dd>
            <dt>{t("Processors")}</dt>
            <dd>
              {host.cpus} × {host.cpuModel}, {t("load {n}", { n: host.load.toFixed(2) })}
            </dd>
            <dt>{t("Memory")}</dt>
            <dd>
              {t("{free} free of {all}", { free: bytes(host.memoryFree), all: bytes(host.memory) })}
            </dd>
          </dl>
        </Card>
        <Card title={t("Process")} padded>
          <dl class="facts">
            <dt>{t("Up for")}</dt>
            <dd>{duration(process.uptimeSeconds)}</dd>
            <dt>{t("Memory")}</dt>
            <dd>{bytes(process.memory)}</dd>
            <dt>{t("Processor time")}</dt>
            <dd>{duration(process.cpuSeconds)}</dd>
            <dt>{t("Process id")}</dt>
            <dd>{process.pid}</dd>
            <dt>{t("Event streams open")}</dt>
            <dd>{process.streams}</dd>
          </dl>
        </Card>
        <Card title={t("What the host offers")} padded>
          <ul class="stack">
            {data.probes.map(({ name, state, because }) => (
              <li key={name}>
                <span class="row tight">
                  <Dot tone={state === "yes" ? "good" : state === "no" ? "bad" : "warn"} />
                  <strong>{name}</strong>
                  <Badge tone={state === "yes" ? "good" : state === "no" ? "bad" : "warn"}>
                    {t(state)}
                  </Badge>
                </span>
                <span class="quiet">{because}</span>
              </li>
            ))}
          </ul>
        </Card>
      </div>
      <Counters />
      <p class="row">
        <a class="button" href="/api">{t("The API, route by route")}</a>
        <a class="button" href="/metrics">{t("Metrics for Prometheus")}</a>
      </p>
    </>
  );
}

function Counters() {
  useApp();
  const t = useTexts();
  const { data } = useQuery<{ counters: Record<string, number> }>("/counters", { everyMs: 3000 });
  const all = Object.entries(data?.counters ?? {}).sort(([a], [b]) => a < b ? -1 : 1);
  return (
    <Card title={t("Counters")}>
      <ul class="counters body">
        {all.map(([name, value]) => (
          <li class={`row ${value === 0 ? "faint" : ""}`} key={name}>
            <span class="mono">{name}</span>
            <span class="push number">{count(value)}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}
