/** A packet's way through the tables, as a picture that can be walked through step by step. */
import { useEffect, useState } from "preact/hooks";
import type { Bridges } from "../../../routes/bridges.ts";
import type { VocabularyJson } from "../../../routes/vocabulary.ts";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { suggestMatch } from "../core/flow-words.ts";
import { placeText } from "../core/router.ts";
import { parseTrace, type Pass, type Step, stepCount } from "../core/trace-text.ts";
import { Complete } from "../ui/complete.tsx";
import { Check, Text } from "../ui/form.tsx";
import { Icon } from "../ui/icons.tsx";
import type { PageProps } from "../ui/pages.tsx";
import { Badge, Card, Copy, Empty, Note, Waiting } from "../ui/parts.tsx";
import { TraceMap } from "./trace-map.tsx";

export function Trace({ query }: PageProps) {
  const { api, router } = useApp();
  const t = useTexts();
  const may = useMay("operator");
  const bridges = useQuery<Bridges>("/bridges", { live: true });
  const { data: vocabulary } = useQuery<VocabularyJson>("/vocabulary");
  const [bridge, setBridge] = useState(query["bridge"] ?? "");
  const [flow, setFlow] = useState(query["flow"] ?? "");
  const [packet, setPacket] = useState(query["packet"] ?? "");
  const [states, setStates] = useState("");
  const [real, setReal] = useState(false);
  const [text, setText] = useState<string>();
  const [wrong, setWrong] = useState<string>();
  const { busy, run } = useAction();
  const all = bridges.data?.bridges ?? [];
  const chosen = all.find(({ name }) => name === bridge) ?? all[0];
  const ports = chosen?.ports.flatMap(({ interfaces }) => interfaces.map(({ name }) => name)) ?? [];
  const withPacket = packet.trim() !== "" || real;

  const trace = (): void => {
    if (chosen === undefined) return;
    setWrong(undefined);
    router.replaceQuery({ bridge: chosen.name, flow, packet });
    void run(async () => {
      const connectionStates = states.split(/\s+/).filter(Boolean);
      const bytes = packet.replace(/[\s:]|0x/g, "");
      const body = {
        bridge: chosen.name,
        flow: flow.trim() === "" ? "ip" : flow,
        connectionStates,
        ...(bytes !== "" && { packet: bytes }),
      };
      const path = withPacket ? "/trace/packet" : "/trace";
      setText((await api.ask<{ text: string }>("POST", path, { body })).text);
    }, (error) => {
      setWrong(error.message);
      setText(undefined);
      return true;
    });
  };
  useEffect(() => {
    if (query["flow"] && chosen) trace();
  }, [chosen?.name]);

  if (bridges.data === undefined) return <Waiting error={bridges.error} retry={bridges.reload} />;
  if (chosen === undefined) {
    return (
      <Card>
        <Empty icon="trace" title={t("No bridge to trace through")}>
          <a class="button primary" href="#/bridges?add=bridge">{t("Make a bridge")}</a>
        </Empty>
      </Card>
    );
  }
  const words = vocabulary && { vocabulary, ports, t };
  return (
    <>
      <Card title={t("The packet")} padded>
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            trace();
          }}
        >
          <div class="field">
            <span class="name">{t("As a flow")}</span>
            <Complete
              label={t("As a flow")}
              value={flow}
              onChange={setFlow}
              placeholder="in_port=p1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80"
              suggest={(before) => words ? suggestMatch(before, words) : { start: 0, list: [] }}
            />
            <span class="hint">
              {t("Where it comes in and what it is; what is not said is zero.")}
            </span>
          </div>
          <div class="fields">
            <label class="field">
              <span class="name">{t("Bridge")}</span>
              <select
                value={chosen.name}
                onChange={(event) => setBridge(event.currentTarget.value)}
              >
                {all.map(({ name }) => <option key={name} value={name}>{name}</option>)}
              </select>
            </label>
            <Text
              name={t("Connection tracking finds")}
              mono
              value={states}
              onChange={setStates}
              placeholder="trk,new"
              hint={t("one state for each `ct`, by blanks")}
            />
            {may && (
              <Text
                name={t("Bytes of a packet (optional)")}
                mono
                value={packet}
                onChange={setPacket}
                placeholder="ffffffffffff 0200…"
                hint={t("hexadecimal; the page Capture can hand one over")}
              />
            )}
          </div>
          {may && (
            <Check
              value={real}
              onChange={setReal}
              label={t("With effects: the switch learns from it as from a real packet")}
            />
          )}
          <p class="row">
            <button type="submit" class="primary" disabled={busy}>
              <Icon name="play" /> {busy ? t("Working…") : t("Trace")}
            </button>
          </p>
          {wrong !== undefined && <Note tone="bad">{wrong}</Note>}
        </form>
      </Card>
      {text !== undefined && <Result key={text} text={text} bridge={chosen.name} />}
      {text === undefined && wrong === undefined && (
        <Card>
          <Empty icon="trace" title={t("See what a packet meets")}>
            <p>
              {t(
                "Say what packet, and every table, flow and action that it meets is shown, and what " +
                  "becomes of it. Nothing is sent.",
              )}
            </p>
          </Empty>
        </Card>
      )}
    </>
  );
}

function Result({ text, bridge }: { readonly text: string; readonly bridge: string }) {
  const t = useTexts();
  const passes = parseTrace(text);
  const total = stepCount(passes);
  const [at, setAt] = useState(total);
  const move = (by: number): void => setAt((now) => Math.max(1, Math.min(total, now + by)));
  return (
    <Card
      title={t("Its way")}
      actions={
        <>
          <button type="button" class="small" disabled={at <= 1} onClick={() => setAt(1)}>
            {t("From the start")}
          </button>
          <button type="button" class="small" disabled={at <= 1} onClick={() => move(-1)}>
            {t("Back")}
          </button>
          <span class="quiet">{t("step {n} of {all}", { n: at, all: total })}</span>
          <button type="button" class="small" disabled={at >= total} onClick={() => move(1)}>
            {t("Next")}
          </button>
          <Copy text={text} />
        </>
      }
    >
      <TraceMap passes={passes} at={at} show={(step) => setAt(Math.min(total, step + 1))} />
      <div
        class="way"
        tabIndex={0}
        role="group"
        aria-label={t("Step by step")}
        onKeyDown={(event) => {
          if (event.key === "ArrowRight" || event.key === "ArrowDown") {
            event.preventDefault();
            move(1);
          } else if (event.key === "ArrowLeft" || event.key === "ArrowUp") {
            event.preventDefault();
            move(-1);
          }
        }}
      >
        {passes.map((pass, i) => (
          <PassView key={i} pass={pass} at={at} bridge={bridge} last={at >= total} />
        ))}
      </div>
      <details class="body">
        <summary>{t("As text")}</summary>
        <pre class="block">{text}</pre>
      </details>
    </Card>
  );
}

interface PassProps {
  readonly pass: Pass;
  readonly at: number;
  readonly bridge: string;
  readonly last: boolean;
}

function PassView({ pass, at, bridge, last }: PassProps) {
  const t = useTexts();
  const first = pass.steps[0]?.number ?? 0;
  if (first >= at) return null;
  const dropped = pass.actions === "drop";
  return (
    <section class="pass">
      {pass.why !== undefined && (
        <p class="again">
          <Icon name="refresh" /> {pass.why}
        </p>
      )}
      <div class="step-flow">
        <span class="quiet">{t("Packet")}</span> <code>{pass.flow}</code>
      </div>
      <ol class="steps">
        {pass.steps.map((step) => (
          <StepView
            key={step.number}
            step={step}
            at={at}
            bridge={bridge}
          />
        ))}
      </ol>
      {last && (
        <div class={`outcome ${dropped ? "dropped" : ""}`}>
          <h3>{dropped ? t("It is dropped") : t("What the datapath does")}</h3>
          <code>{pass.actions}</code>
          {pass.remarks.map((remark) => <p class="warn" key={remark}>{remark}</p>)}
          <dl class="facts">
            {pass.finalFlow !== "unchanged" && pass.finalFlow !== "" && (
              <>
                <dt>{t("The packet then")}</dt>
                <dd class="mono">{pass.finalFlow}</dd>
              </>
            )}
            <dt>{t("Datapath flow")}</dt>
            <dd class="mono">{pass.megaflow}</dd>
          </dl>
        </div>
      )}
    </section>
  );
}

function StepView(
  { step, at, bridge }: { readonly step: Step; readonly at: number; readonly bridge: string },
) {
  const { number, kind, table, text, children } = step;
  if (number >= at) return null;
  const now = number === at - 1;
  const search = text.replace(/,? ?(priority|cookie|send_flow_rem).*$/, "").replace(
    /^No match\.?$/,
    "",
  );
  return (
    <li class={`step ${kind} ${now ? "now" : ""}`}>
      <div class="what">
        {kind === "table" && (
          <a
            class="table-number"
            href={placeText(["flows", bridge], {
              q: `table=${table} ${search.split(",").join(" ")}`,
            })}
          >
            {table}
          </a>
        )}
        {kind === "bridge" ? <strong>{text}</strong> : <code>{text}</code>}
        {kind === "table" && <Priority text={text} />}
      </div>
      {children.length > 0 && (
        <ol class="steps">
          {children.map((each) => (
            <StepView key={each.number} step={each} at={at} bridge={bridge} />
          ))}
        </ol>
      )}
    </li>
  );
}

function Priority({ text }: { readonly text: string }) {
  const t = useTexts();
  if (/^No match/.test(text)) return <Badge tone="warn">{t("no flow fits")}</Badge>;
  return null;
}
