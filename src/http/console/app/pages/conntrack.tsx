/** Connections that the switch tracks. */
import { useState } from "preact/hooks";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { count } from "../core/format.ts";
import { Dialog } from "../ui/form.tsx";
import { Icon } from "../ui/icons.tsx";
import { Badge, Card, Empty, Note, Waiting } from "../ui/parts.tsx";

interface Connection {
  readonly protocol: string;
  readonly original: Readonly<Record<string, string>>;
  readonly reply: Readonly<Record<string, string>>;
  readonly rest: readonly (readonly [string, string])[];
}

/** `tcp,orig=(src=…,dst=…,…),reply=(…),zone=1,protoinfo=(state=ESTABLISHED)`. */
export function parseConnection(line: string): Connection {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= line.length; i++) {
    const letter = line[i];
    if (letter === "(") depth++;
    else if (letter === ")") depth--;
    else if ((letter === "," && depth === 0) || letter === undefined) {
      parts.push(line.slice(start, i));
      start = i + 1;
    }
  }
  const tuple = (name: string): Record<string, string> => {
    const found = parts.find((part) => part.startsWith(`${name}=(`)) ?? "";
    const inner = found.slice(name.length + 2, -1);
    return Object.fromEntries(inner.split(",").map((each) => each.split("=") as [string, string]));
  };
  const [protocol = "", ...others] = parts;
  const rest = others.filter((part) => !/^(orig|reply)=\(/.test(part)).map((part) => {
    const at = part.indexOf("=");
    return [part.slice(0, at), part.slice(at + 1).replace(/^\(|\)$/g, "")] as const;
  });
  return { protocol, original: tuple("orig"), reply: tuple("reply"), rest };
}

const endText = (tuple: Connection["original"], address: string, port: string): string =>
  [tuple[address], tuple[port]].filter((part) => part !== undefined).join(":");

export function Conntrack() {
  const { api, toasts } = useApp();
  const t = useTexts();
  const may = useMay("operator");
  const { data, error, reload } = useQuery<{ connections: string[]; total: number }>(
    "/conntrack?limit=2000",
    { everyMs: 3000 },
  );
  const [search, setSearch] = useState("");
  const [flushing, setFlushing] = useState(false);
  const { busy, run } = useAction();
  if (data === undefined) {
    return error?.status === 404
      ? <Note>{t("This datapath tracks no connections.")}</Note>
      : <Waiting error={error} retry={reload} />;
  }
  const lower = search.toLowerCase();
  const lines = data.connections.filter((line) => line.toLowerCase().includes(lower));
  const flush = (): void =>
    void run(async () => {
      await api.ask("DELETE", "/conntrack");
      toasts.good(t("All connections were forgotten."));
      setFlushing(false);
      reload();
    });
  return (
    <Card
      title={
        <>
          <h2>{t("Connections")}</h2>
          <span class="quiet">{count(data.total)}</span>
        </>
      }
      actions={may && data.total > 0 && (
        <button
          type="button"
          class="small danger"
          onClick={() => setFlushing(true)}
        >
          <Icon name="remove" /> {t("Forget all")}
        </button>
      )}
    >
      {data.total === 0
        ? (
          <Empty icon="conntrack" title={t("No connection is tracked")}>
            <p>
              {t(
                "Flows with the action ct(commit) make the switch remember connections; then flows " +
                  "can match their state.",
              )}
            </p>
            <code>ovs-ofctl add-flow br0 "tcp,ct_state=-trk,actions=ct(table=1)"</code>
          </Empty>
        )
        : (
          <>
            <div class="body">
              <div class="search">
                <Icon name="search" />
                <input
                  type="search"
                  aria-label={t("Search connections")}
                  placeholder={t("Search connections")}
                  value={search}
                  onInput={(event) => setSearch(event.currentTarget.value)}
                />
              </div>
            </div>
            <div class="scroll">
              <table class="stacks">
                <thead>
                  <tr>
                    <th>{t("Protocol")}</th>
                    <th>{t("From")}</th>
                    <th>{t("To")}</th>
                    <th>{t("Reply to")}</th>
                    <th>{t("State")}</th>
                  </tr>
                </thead>
                <tbody>
                  {lines.slice(0, 1000).map((line) => {
                    const { protocol, original, reply, rest } = parseConnection(line);
                    return (
                      <tr key={line}>
                        <td>
                          <Badge tone="accent">{protocol}</Badge>
                        </td>
                        <td class="mono" data-name={t("From")}>
                          {endText(original, "src", "sport")}
                        </td>
                        <td class="mono" data-name={t("To")}>
                          {endText(original, "dst", "dport")}
                        </td>
                        <td class="mono" data-name={t("Reply to")}>
                          {endText(reply, "dst", "dport")}
                        </td>
                        <td class="wrap" data-name={t("State")}>
                          <span class="row tight">
                            {rest.map(([name, value]) => <Badge key={name}>{name} {value}</Badge>)}
                          </span>
                        </td>
                      </tr>
                    );
                  })}
                </tbody>
              </table>
            </div>
          </>
        )}
      {flushing && (
        <Dialog
          title={t("Forget all connections?")}
          onClose={() => setFlushing(false)}
          onSubmit={flush}
          submit={t("Forget all")}
          danger
          busy={busy}
        >
          <p>
            {t(
              "Packets of connections that are open look like new ones then; translated ones break.",
            )}
          </p>
        </Dialog>
      )}
    </Card>
  );
}
