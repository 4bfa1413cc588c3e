/** Packets of any port as they pass: filtered, decoded, and to be kept as a file. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Bridges } from "../../../routes/bridges.ts";
import type { CapturedJson, CaptureJson } from "../../../routes/captures.ts";
import { part, Refused } from "../core/api.ts";
import { useAction, useApp, useQuery, useTexts } from "../core/app.ts";
import { decode, type Decoded, dump, hexOf } from "../core/decode.ts";
import { bytes, count } from "../core/format.ts";
import { placeText } from "../core/router.ts";
import { RemoveButton } from "../ui/buttons.tsx";
import { Pick, Text } from "../ui/form.tsx";
import { Icon } from "../ui/icons.tsx";
import type { PageProps } from "../ui/pages.tsx";
import { Badge, Card, Empty, Note, Waiting } from "../ui/parts.tsx";

const READ_EVERY_MS = 600;
const EXAMPLES = ["arp", "icmp", "tcp port 80", "host 10.0.0.1", "vlan", "not port 22", "udp"];

export function Capture({ query, rest: [id] }: PageProps) {
  const { api, router } = useApp();
  const t = useTexts();
  const bridges = useQuery<Bridges>("/bridges", { live: true });
  const captures = useQuery<{ captures: CaptureJson[] }>("/captures", { everyMs: 3000 });
  const ports = (bridges.data?.bridges ?? []).flatMap(({ name, ports }) =>
    ports.flatMap(({ interfaces }) =>
      interfaces.filter(({ type }) => type === "" || type === "internal")
        .map((one) => `${name}/${one.name}`)
    )
  );
  const wanted = `${query["bridge"] ?? ""}/${query["port"] ?? ""}`;
  const [where, setWhere] = useState("");
  const place = ports.includes(where) ? where : ports.includes(wanted) ? wanted : ports[0] ?? "";
  const [filter, setFilter] = useState("");
  const [seconds, setSeconds] = useState("60");
  const [packets, setPackets] = useState("1000");
  const [wrong, setWrong] = useState<string>();
  const { busy, run } = useAction();
  if (bridges.data === undefined) return <Waiting error={bridges.error} retry={bridges.reload} />;
  if (ports.length === 0) {
    return (
      <Card>
        <Empty icon="capture" title={t("No port to look on at")}>
          <p>{t("Attach a device to a bridge: then its packets can be seen here.")}</p>
          <a class="button primary" href="#/bridges">{t("To the bridges")}</a>
        </Empty>
      </Card>
    );
  }
  const start = (): void => {
    setWrong(undefined);
    const [bridge = "", ...port] = place.split("/");
    void run(async () => {
      const body = {
        bridge,
        port: port.join("/"),
        filter,
        seconds: Number(seconds),
        packets: Number(packets),
      };
      setWhere(place);
      const made = await api.ask<CaptureJson>("POST", "/captures", { body });
      router.go(["capture", made.id]);
      captures.reload();
    }, (error) => {
      setWrong(error.message);
      return true;
    });
  };
  return (
    <>
      <Card title={t("Capture packets")} padded>
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            start();
          }}
        >
          <div class="fields">
            <Pick
              name={t("Port")}
              value={place}
              choices={ports.map((each) => [each, each] as const)}
              onChange={setWhere}
            />
            <Text
              name={t("Filter")}
              mono
              value={filter}
              onChange={setFilter}
              placeholder="icmp or arp"
              hint={t("as tcpdump takes it; empty: everything")}
            />
            <Text
              name={t("Seconds")}
              type="number"
              min={1}
              max={600}
              value={seconds}
              onChange={setSeconds}
            />
            <Text
              name={t("Packets")}
              type="number"
              min={1}
              max={20000}
              value={packets}
              onChange={setPackets}
            />
          </div>
          <div class="row tight">
            <span class="quiet">{t("For example:")}</span>
            {EXAMPLES.map((example) => (
              <button
                type="button"
                class="small plain mono"
                key={example}
                onClick={() => setFilter(example)}
              >
                {example}
              </button>
            ))}
          </div>
          {wrong !== undefined && <Note tone="bad">{wrong}</Note>}
          <p>
            <button type="submit" class="primary" disabled={busy}>
              <Icon name="capture" /> {t("Start")}
            </button>
          </p>
        </form>
      </Card>
      {id !== undefined && <Packets key={id} id={id} onChanged={captures.reload} />}
      <List captures={captures.data?.captures ?? []} current={id} onChanged={captures.reload} />
    </>
  );
}

interface Shown {
  readonly number: number;
  readonly timeMs: number;
  readonly direction: "in" | "out";
  readonly wireBytes: number;
  readonly bytes: Uint8Array;
  readonly decoded: Decoded;
}

const bytesOf = (base64: string): Uint8Array =>
  Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

function Packets({ id, onChanged }: { readonly id: string; readonly onChanged: () => void }) {
  const { api } = useApp();
  const t = useTexts();
  const [state, setState] = useState<CaptureJson>();
  const [list, setList] = useState<readonly Shown[]>([]);
  const [chosen, setChosen] = useState<number>();
  const [search, setSearch] = useState("");
  const [error, setError] = useState<Refused>();
  const { busy, run } = useAction();
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let after = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stopped = false;
    const read = async (): Promise<void> => {
      try {
        const path = `/captures/${part(id)}?after=${after}&limit=200`;
        const { list: more, ...rest } = await api.get<CapturedJson>(path);
        if (stopped) return;
        setState(rest);
        after += more.length;
        if (more.length > 0) {
          const shown = more.map(({ data, ...packet }): Shown => {
            const bytes = bytesOf(data);
            return { ...packet, bytes, decoded: decode(bytes) };
          });
          setList((old) => [...old, ...shown]);
        }
        if (rest.ended === null || after < rest.packets) {
          timer = setTimeout(() => void read(), more.length === 200 ? 0 : READ_EVERY_MS);
        } else onChanged();
      } catch (failure) {
        if (!(failure instanceof Refused)) throw failure;
        if (!stopped) setError(failure);
      }
    };
    void read();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [id]);
  const shown = useMemo(() => {
    const lower = search.toLowerCase();
    return lower === ""
      ? list
      : list.filter(({ decoded: { source, target, protocol, info } }) =>
        `${source} ${target} ${protocol} ${info}`.toLowerCase().includes(lower)
      );
  }, [list, search]);
  useEffect(() => {
    if (chosen === undefined) end.current?.scrollIntoView({ block: "nearest" });
  }, [shown.length]);
  if (state === undefined) return <Waiting error={error} />;
  const first = list[0]?.timeMs ?? 0;
  const packet = list.find(({ number }) => number === chosen);
  const stop = (): void =>
    void run(async () => setState(await api.ask("POST", `/captures/${part(id)}/stop`)));
  return (
    <Card
      title={
        <>
          <h2>{state.bridge}/{state.port}</h2>
          {state.filter !== "" && <code>{state.filter}</code>}
          {state.ended === null
            ? <Badge tone="good">{t("running")}</Badge>
            : <Badge>{t(`ended: ${state.ended}`)}</Badge>}
          <span class="quiet">
            {t("{n} packets", { n: count(state.packets) })}, {bytes(state.bytes)}
            {state.drops > 0 && (
              <span class="warn">, {t("{n} missed", { n: count(state.drops) })}</span>
            )}
          </span>
        </>
      }
      actions={
        <>
          {state.ended === null && (
            <button type="button" class="small" disabled={busy} onClick={stop}>
              <Icon name="stop" /> {t("Stop")}
            </button>
          )}
          <a class="button small" href={`/api/v1/captures/${part(id)}/pcap`} download>
            <Icon name="download" /> {t("Download")}
          </a>
        </>
      }
    >
      <div class="body">
        <div class="search">
          <Icon name="search" />
          <input
            type="search"
            aria-label={t("Search packets")}
            placeholder={t("Search packets")}
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
        </div>
      </div>
      {packet !== undefined && <PacketView key={packet.number} packet={packet} capture={state} />}
      {list.length === 0
        ? <p class="quiet empty">{t("No packet has come yet.")}</p>
        : (
          <div class="packets">
            <table>
              <thead>
                <tr>
                  <th class="number">{t("No.")}</th>
                  <th class="number">{t("Time, s")}</th>
                  <th />
                  <th>{t("From")}</th>
                  <th>{t("To")}</th>
                  <th>{t("Protocol")}</th>
                  <th class="number">{t("Bytes")}</th>
                  <th>{t("What")}</th>
                </tr>
              </thead>
              <tbody>
                {shown.slice(-2000).map(({ number, timeMs, direction, wireBytes, decoded }) => (
                  <tr
                    key={number}
                    class="pick"
                    tabIndex={0}
                    aria-selected={number === chosen}
                    onClick={() => setChosen(number === chosen ? undefined : number)}
                    onKeyDown={(event) => {
                      if (event.key === "Enter") setChosen(number);
                    }}
                  >
                    <td class="number">{number}</td>
                    <td class="number">{((timeMs - first) / 1000).toFixed(6)}</td>
                    <td title={direction === "in" ? t("received") : t("sent")}>
                      {direction === "in" ? "→" : "←"}
                    </td>
                    <td class="mono">{decoded.source}</td>
                    <td class="mono">{decoded.target}</td>
                    <td>
                      <Badge tone="accent">{decoded.protocol}</Badge>
                    </td>
                    <td class="number">{wireBytes}</td>
                    <td class="mono what">{decoded.info}</td>
                  </tr>
                ))}
              </tbody>
            </table>
            <div ref={end} />
          </div>
        )}
    </Card>
  );
}

function PacketView(
  { packet, capture }: { readonly packet: Shown; readonly capture: CaptureJson },
) {
  const t = useTexts();
  const { decoded: { layers }, bytes: data } = packet;
  const trace = placeText(["trace"], {
    bridge: capture.bridge,
    flow: `in_port=${capture.port}`,
    packet: hexOf(data),
  });
  return (
    <div class="body stack">
      <div class="row">
        <h3>{t("Packet {n}", { n: packet.number })}</h3>
        {packet.direction === "in" && (
          <a class="button small" href={trace}>
            <Icon name="trace" /> {t("Trace it through the tables")}
          </a>
        )}
      </div>
      <div class="columns">
        <div class="stack">
          {layers.map(({ name, fields }, i) => (
            <details key={i} open>
              <summary>{name}</summary>
              <dl class="facts">
                {fields.map(([key, value]) => (
                  <>
                    <dt>{key}</dt>
                    <dd class="mono">{value}</dd>
                  </>
                ))}
              </dl>
            </details>
          ))}
        </div>
        <pre class="block dump">{dump(data)}</pre>
      </div>
    </div>
  );
}

function List(
  { captures, current, onChanged }: {
    readonly captures: readonly CaptureJson[];
    readonly current: string | undefined;
    readonly onChanged: () => void;
  },
) {
  const { api, router } = useApp();
  const t = useTexts();
  const { busy, run } = useAction();
  if (captures.length === 0) return null;
  const remove = (id: string): void =>
    void run(async () => {
      await api.ask("DELETE", `/captures/${part(id)}`);
      if (id === current) router.go(["capture"]);
      onChanged();
    });
  return (
    <Card title={t("Captures")}>
      <table>
        <tbody>
          {captures.map((each) => (
            <tr key={each.id}>
              <td>
                <a href={placeText(["capture", each.id])}>{each.bridge}/{each.port}</a>{" "}
                <code>{each.filter}</code>
              </td>
              <td>{each.user}</td>
              <td class="number">{t("{n} packets", { n: count(each.packets) })}</td>
              <td>{each.ended === null ? t("running") : t(`ended: ${each.ended}`)}</td>
              <td class="number">
                <RemoveButton disabled={busy} onClick={() => remove(each.id)} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}
