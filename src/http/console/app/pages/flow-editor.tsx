/** A flow to add or change: completed as it is typed, and checked by the switch itself. */
import { useEffect, useState } from "preact/hooks";
import type { z } from "zod";
import type { checkedFlowSchema } from "../../../routes/flows.ts";
import type { VocabularyJson } from "../../../routes/vocabulary.ts";
import { part, Refused } from "../core/api.ts";
import { useAction, useApp, useQuery, useTexts } from "../core/app.ts";
import { suggestActions, suggestMatch, type Words } from "../core/flow-words.ts";
import { Complete } from "../ui/complete.tsx";
import { Dialog, Text } from "../ui/form.tsx";
import { Note } from "../ui/parts.tsx";
import type { Flow } from "./flow-rates.ts";

export interface FlowEditorProps {
  readonly bridge: string;
  readonly ports: readonly string[];
  /** The flow to change; undefined: a new one. */
  readonly flow?: Flow | undefined;
  readonly onClose: () => void;
}

type Checked = z.infer<typeof checkedFlowSchema>;

interface Draft {
  readonly table: string;
  readonly priority: string;
  readonly cookie: string;
  readonly idleTimeout: string;
  readonly hardTimeout: string;
  readonly match: string;
  readonly actions: string;
}

const draftOf = (flow: Flow | undefined): Draft => ({
  table: String(flow?.table ?? 0),
  priority: String(flow?.priority ?? 100),
  cookie: flow?.cookie ?? "0x0",
  idleTimeout: String(flow?.idleTimeout ?? 0),
  hardTimeout: String(flow?.hardTimeout ?? 0),
  match: flow?.match ?? "",
  actions: flow?.actions ?? "",
});

const bodyOf = (draft: Draft) => ({
  table: Number(draft.table),
  priority: Number(draft.priority),
  cookie: draft.cookie,
  idleTimeout: Number(draft.idleTimeout),
  hardTimeout: Number(draft.hardTimeout),
  match: draft.match,
  actions: draft.actions,
});

/** The flow as ovs-ofctl takes it. */
export const flowText = ({ table, priority, match, actions }: Checked): string =>
  [`table=${table}`, `priority=${priority}`, ...(match === "" ? [] : [match]), `actions=${actions}`]
    .join(",");

const CHECK_AFTER_MS = 250;

export function FlowEditor({ bridge, ports, flow, onClose }: FlowEditorProps) {
  const { api, toasts } = useApp();
  const t = useTexts();
  const { data: vocabulary } = useQuery<VocabularyJson>("/vocabulary");
  const [draft, setDraft] = useState(() => draftOf(flow));
  const [checked, setChecked] = useState<Checked | Refused>();
  const { busy, run } = useAction();
  const path = `/bridges/${part(bridge)}/flows`;
  const set = (name: keyof Draft) => (value: string): void => setDraft({ ...draft, [name]: value });

  useEffect(() => {
    if (draft.actions.trim() === "") return setChecked(undefined);
    const stop = new AbortController();
    const timer = setTimeout(() => {
      const options = { body: bodyOf(draft), signal: stop.signal };
      api.ask<Checked>("POST", `${path}/check`, options).then(setChecked, (error) => {
        if (error instanceof Refused) setChecked(error);
      });
    }, CHECK_AFTER_MS);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [draft, path]);

  const save = (): void =>
    void run(async () => {
      const body = bodyOf(draft);
      const fine = await api.ask<Checked>("POST", `${path}/check`, { body });
      const same = flow !== undefined && fine.table === flow.table &&
        fine.priority === flow.priority && fine.match === flow.match;
      const timeouts = Number(draft.idleTimeout) !== flow?.idleTimeout ||
        Number(draft.hardTimeout) !== flow?.hardTimeout;
      if (same && !timeouts && flow.cookie === draft.cookie) {
        // Other actions and nothing else: the flow keeps its counters.
        await api.ask("PATCH", `${path}?strict=true`, { body: { ...fine } });
      } else {
        await api.ask("POST", path, { body });
        if (flow !== undefined && !same) await api.ask("DELETE", removalPath(bridge, flow));
      }
      toasts.good(flow === undefined ? t("The flow was added.") : t("The flow was changed."));
      onClose();
    }, (error) => {
      setChecked(error);
      return true;
    });

  const words: Words | undefined = vocabulary && { vocabulary, ports, t };
  const nothing = { start: 0, list: [] };
  const refused = checked instanceof Refused ? checked : undefined;
  return (
    <Dialog
      title={flow === undefined ? t("Add a flow to {bridge}", { bridge }) : t("Change a flow")}
      wide
      onClose={onClose}
      onSubmit={save}
      submit={flow === undefined ? t("Add the flow") : t("Save")}
      busy={busy}
      disabled={draft.actions.trim() === "" || refused !== undefined}
    >
      <div class="field">
        <span class="name">{t("Match")}</span>
        <Complete
          label={t("Match")}
          value={draft.match}
          onChange={set("match")}
          placeholder="in_port=p1,tcp,nw_dst=10.0.0.0/24,tp_dst=80"
          invalid={refused !== undefined}
          suggest={(before) => words ? suggestMatch(before, words) : nothing}
        />
        <span class="hint">
          {t("Fields by commas; empty: every packet. Type to be offered what there is.")}
        </span>
      </div>
      <div class="field">
        <span class="name">{t("Actions")}</span>
        <Complete
          label={t("Actions")}
          value={draft.actions}
          onChange={set("actions")}
          placeholder="output:p2"
          invalid={refused !== undefined}
          suggest={(before) => words ? suggestActions(before, words) : nothing}
        />
      </div>
      <div class="fields narrow">
        <Text
          name={t("Table")}
          type="number"
          min={0}
          max={253}
          value={draft.table}
          onChange={set("table")}
        />
        <Text
          name={t("Priority")}
          type="number"
          min={0}
          max={65535}
          value={draft.priority}
          onChange={set("priority")}
        />
        <Text name={t("Cookie")} mono value={draft.cookie} onChange={set("cookie")} />
        <Text
          name={t("Idle timeout, s")}
          type="number"
          min={0}
          max={65535}
          value={draft.idleTimeout}
          onChange={set("idleTimeout")}
        />
        <Text
          name={t("Hard timeout, s")}
          type="number"
          min={0}
          max={65535}
          value={draft.hardTimeout}
          onChange={set("hardTimeout")}
        />
      </div>
      {refused !== undefined && <Note tone="bad">{refused.message}</Note>}
      {checked !== undefined && refused === undefined && (
        <Note>
          {t("The switch reads it as")}
          <pre>{flowText(checked as Checked)}</pre>
        </Note>
      )}
    </Dialog>
  );
}

/** What removes exactly this flow. */
export function removalPath(bridge: string, { table, priority, match }: Flow): string {
  const filter = [`table=${table}`, `priority=${priority}`, ...(match === "" ? [] : [match])].join(
    ",",
  );
  return `/bridges/${part(bridge)}/flows?strict=true&filter=${part(filter)}`;
}
