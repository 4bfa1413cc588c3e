/** What was changed, when and by whom, and the way back. */
import { useState } from "preact/hooks";
import type { DifferenceJson, HistoryJson, RevisionJson } from "../../../routes/history.ts";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { changedRows } from "../core/changes.ts";
import { moment } from "../core/format.ts";
import { Dialog } from "../ui/form.tsx";
import { Icon } from "../ui/icons.tsx";
import { Badge, Card, Empty, Waiting } from "../ui/parts.tsx";

type Summary = HistoryJson["revisions"][number];
type Open =
  | { readonly what: "show"; readonly revision: number }
  | { readonly what: "back"; readonly revision: number }
  | { readonly what: "trial" };

const PAGE = 50;

export function History() {
  const t = useTexts();
  const may = useMay("operator");
  const [most, setMost] = useState(PAGE);
  const { data, error, reload } = useQuery<HistoryJson>(`/history?limit=${most}`, { live: true });
  const [open, setOpen] = useState<Open>();
  const close = (): void => {
    setOpen(undefined);
    reload();
  };
  if (data === undefined) return <Waiting error={error} retry={reload} />;
  return (
    <>
      <div class="row">
        <span class="quiet">
          {t("Every change of the configuration is a revision, whoever made it and by what.")}
        </span>
        {may && (
          <button type="button" class="push" onClick={() => setOpen({ what: "trial" })}>
            <Icon name="history" /> {t("Try changes for a while")}
          </button>
        )}
      </div>
      <Card title={t("Revisions")}>
        {data.revisions.length === 0
          ? <Empty icon="history" title={t("Nothing was changed yet")} />
          : (
            <div class="scroll">
              <table class="stacks">
                <thead>
                  <tr>
                    <th class="number">{t("No.")}</th>
                    <th>{t("When")}</th>
                    <th>{t("Who")}</th>
                    <th>{t("What")}</th>
                    <th />
                  </tr>
                </thead>
                <tbody>
                  {data.revisions.map((each) => (
                    <RevisionRow
                      key={each.revision}
                      revision={each}
                      newest={data.newest}
                      may={may}
                      onOpen={(what) => setOpen({ what, revision: each.revision })}
                    />
                  ))}
                </tbody>
              </table>
            </div>
          )}
        {data.revisions.length === most && (
          <p class="more">
            <button type="button" onClick={() => setMost(Math.min(1000, most * 2))}>
              {t("Show older ones")}
            </button>
          </p>
        )}
      </Card>
      {open?.what === "show" && <RevisionDialog revision={open.revision} onClose={close} />}
      {open?.what === "back" && <BackDialog revision={open.revision} onClose={close} />}
      {open?.what === "trial" && <TrialDialog onClose={close} />}
    </>
  );
}

/** Who, and by which program: what it was told to do is in the comment. */
const whoText = ({ author }: Summary): string =>
  [author.user, author.command?.split(" ")[0], author.who].filter(Boolean).join(" · ");

function RevisionRow(
  { revision, newest, may, onOpen }: {
    readonly revision: Summary;
    readonly newest: number;
    readonly may: boolean;
    readonly onOpen: (what: "show" | "back") => void;
  },
) {
  const t = useTexts();
  const { revision: number, inserted, modified, deleted, comment } = revision;
  return (
    <tr class="pick" onClick={() => onOpen("show")}>
      <td class="number" data-name={t("No.")}>{number}</td>
      <td class="number left" data-name={t("When")}>{moment(revision.time_ms)}</td>
      <td data-name={t("Who")} class="wrap">{whoText(revision)}</td>
      <td data-name={t("What")} class="wrap">
        {comment ?? <span class="faint">{revision.kind}</span>}{" "}
        <span class="row tight inline">
          {inserted > 0 && <Badge tone="good">+{inserted}</Badge>}
          {modified > 0 && <Badge tone="accent">~{modified}</Badge>}
          {deleted > 0 && <Badge tone="bad">−{deleted}</Badge>}
        </span>
      </td>
      <td class="number">
        <span class="row tight end">
          <button
            type="button"
            class="small"
            onClick={(event) => {
              event.stopPropagation();
              onOpen("show");
            }}
          >
            {t("Show")}
          </button>
          {may && number !== newest && (
            <button
              type="button"
              class="small"
              onClick={(event) => {
                event.stopPropagation();
                onOpen("back");
              }}
            >
              <Icon name="undo" /> {t("Go back to it")}
            </button>
          )}
        </span>
      </td>
    </tr>
  );
}

export function ChangeList({ of }: { readonly of: Pick<RevisionJson, "changes" | "names"> }) {
  const t = useTexts();
  const rows = changedRows(of);
  if (rows.length === 0) return <p class="quiet">{t("No difference.")}</p>;
  return (
    <ul class="stack">
      {rows.map(({ table, name, kind, columns }, i) => (
        <li class="change" key={i}>
          <span class="row tight">
            <Badge tone={kind === "added" ? "good" : kind === "removed" ? "bad" : "accent"}>
              {t(kind)}
            </Badge>
            <strong>{table}</strong> {name}
          </span>
          <ul class="diff">
            {columns.map((column) => (
              <li key={column.name}>
                <span class="mono quiet">{column.name}</span>
                {column.old !== undefined && <code class="old">{column.old}</code>}
                {column.now !== undefined && <code class="new">{column.now}</code>}
              </li>
            ))}
          </ul>
        </li>
      ))}
    </ul>
  );
}

function RevisionDialog({ revision, onClose }: { revision: number; onClose: () => void }) {
  const t = useTexts();
  const { data, error } = useQuery<RevisionJson>(`/history/${revision}`);
  return (
    <Dialog title={t("Revision {n}", { n: revision })} wide onClose={onClose}>
      {data === undefined ? <Waiting error={error} /> : (
        <>
          <p class="quiet">
            {moment(data.time_ms)} · {whoText(data)} · {data.comment ?? data.kind}
          </p>
          <ChangeList of={data} />
        </>
      )}
    </Dialog>
  );
}

function BackDialog({ revision, onClose }: { revision: number; onClose: () => void }) {
  const { api, toasts } = useApp();
  const t = useTexts();
  const { busy, run } = useAction();
  const { data: list } = useQuery<HistoryJson>("/history?limit=1");
  const path = list === undefined ? undefined : `/history/${list.newest}/diff?to=${revision}`;
  const { data, error } = useQuery<DifferenceJson>(path);
  const back = (): void =>
    void run(async () => {
      await api.ask("POST", `/history/${revision}/rollback`, { body: {} });
      toasts.good(t("The configuration is that of revision {n} again.", { n: revision }));
      onClose();
    });
  return (
    <Dialog
      title={t("Go back to revision {n}?", { n: revision })}
      wide
      onClose={onClose}
      onSubmit={back}
      submit={t("Go back")}
      busy={busy}
      disabled={data === undefined}
    >
      <p class="quiet">
        {t("This would change. It becomes a revision of its own, so it can be undone.")}
      </p>
      {data === undefined ? <Waiting error={error} /> : <ChangeList of={data} />}
    </Dialog>
  );
}

function TrialDialog({ onClose }: { readonly onClose: () => void }) {
  const { api } = useApp();
  const t = useTexts();
  const { busy, run } = useAction();
  const [seconds, setSeconds] = useState(300);
  const start = (): void =>
    void run(async () => {
      await api.ask("POST", "/confirm", { body: { seconds, extend: true } });
      dispatchEvent(new Event("solovs-confirm"));
      onClose();
    });
  return (
    <Dialog
      title={t("Try changes for a while")}
      onClose={onClose}
      onSubmit={start}
      submit={t("Begin")}
      busy={busy}
    >
      <p>
        {t(
          "From now on, whatever is changed goes back by itself when the time is over, unless you " +
            "keep it: also when you are cut off, and when the switch restarts.",
        )}
      </p>
      <div class="row" role="group" aria-label={t("Time")}>
        {[60, 300, 900, 3600].map((each) => (
          <button
            type="button"
            key={each}
            class={each === seconds ? "primary" : ""}
            aria-pressed={each === seconds}
            onClick={() => setSeconds(each)}
          >
            {t("{n} min", { n: each / 60 })}
          </button>
        ))}
      </div>
    </Dialog>
  );
}
