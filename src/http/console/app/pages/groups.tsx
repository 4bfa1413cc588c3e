/** Groups and meters of a bridge: what flows send packets through. */
import { useState } from "preact/hooks";
import type { z } from "zod";
import type { Bridges } from "../../../routes/bridges.ts";
import type { groupsSchema, metersSchema } from "../../../routes/groups.ts";
import { part } from "../core/api.ts";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { bytes, count, duration } from "../core/format.ts";
import { placeText } from "../core/router.ts";
import { BridgeChoice, ChangeButton, RemoveButton } from "../ui/buttons.tsx";
import { Dialog, Field } from "../ui/form.tsx";
import { Icon } from "../ui/icons.tsx";
import type { PageProps } from "../ui/pages.tsx";
import { Badge, Card, Empty, Note, Waiting } from "../ui/parts.tsx";

type Kind = "group" | "meter";

/** A group or a meter, as a row of its table. */
interface Entry {
  readonly number: number;
  readonly text: string;
  readonly packets: number;
  readonly bytes: number;
  readonly durationSeconds: number;
  /** How many flows or groups use it. */
  readonly users: number;
  /** Buckets or bands. */
  readonly parts: readonly { readonly packets: number; readonly bytes: number }[];
}

const EXAMPLES: Readonly<Record<Kind, string>> = {
  group: "group_id=1,type=select,bucket=weight=2,output:1,bucket=output:2",
  meter: "meter=1,kbps,burst,band=type=drop,rate=10000,burst_size=1000",
};

export function Groups({ rest: [chosen] }: PageProps) {
  const { router } = useApp();
  const t = useTexts();
  const bridges = useQuery<Bridges>("/bridges", { live: true });
  if (bridges.data === undefined) return <Waiting error={bridges.error} retry={bridges.reload} />;
  const names = bridges.data.bridges.map(({ name }) => name);
  const bridge = names.find((name) => name === chosen) ?? names[0];
  if (bridge === undefined) {
    return (
      <Card>
        <Empty icon="groups" title={t("No bridge, no groups")}>
          <a class="button primary" href="#/bridges?add=bridge">{t("Make a bridge")}</a>
        </Empty>
      </Card>
    );
  }
  return (
    <>
      <div class="row">
        <BridgeChoice
          names={names}
          chosen={bridge}
          onChoose={(name) => router.go(["groups", name])}
        />
      </div>
      <GroupCard key={`g ${bridge}`} bridge={bridge} />
      <MeterCard key={`m ${bridge}`} bridge={bridge} />
    </>
  );
}

const EVERY = { everyMs: 3000 } as const;

function GroupCard({ bridge }: { readonly bridge: string }) {
  const t = useTexts();
  const path = `/bridges/${part(bridge)}/groups`;
  const { data, error, reload } = useQuery<z.infer<typeof groupsSchema>>(path, EVERY);
  const entries = data?.groups.map(({ group, references, buckets, ...rest }): Entry => ({
    ...rest,
    number: group,
    users: references,
    parts: buckets,
  }));
  if (entries === undefined) return <Waiting error={error} retry={reload} />;
  return (
    <EntryCard kind="group" title={t("Groups of {bridge}", { bridge })} {...{ bridge, path }}>
      {{ entries, reload }}
    </EntryCard>
  );
}

function MeterCard({ bridge }: { readonly bridge: string }) {
  const t = useTexts();
  const path = `/bridges/${part(bridge)}/meters`;
  const { data, error, reload } = useQuery<z.infer<typeof metersSchema>>(path, EVERY);
  const entries = data?.meters.map(({ meter, flows, bands, ...rest }): Entry => ({
    ...rest,
    number: meter,
    users: flows,
    parts: bands,
  }));
  if (entries === undefined) return <Waiting error={error} retry={reload} />;
  return (
    <EntryCard kind="meter" title={t("Meters of {bridge}", { bridge })} {...{ bridge, path }}>
      {{ entries, reload }}
    </EntryCard>
  );
}

interface EntryCardProps {
  readonly kind: Kind;
  readonly title: string;
  readonly bridge: string;
  readonly path: string;
  readonly children: { readonly entries: readonly Entry[]; readonly reload: () => void };
}

type Open = { readonly what: "add" } | {
  readonly what: "edit" | "remove";
  readonly entry: Entry;
};

function EntryCard({ kind, title, bridge, path, children: { entries, reload } }: EntryCardProps) {
  const t = useTexts();
  const may = useMay("operator");
  const [open, setOpen] = useState<Open>();
  const close = (): void => {
    setOpen(undefined);
    reload();
  };
  return (
    <Card
      title={title}
      actions={may && (
        <button type="button" class="small" onClick={() => setOpen({ what: "add" })}>
          <Icon name="add" /> {kind === "group" ? t("Add a group") : t("Add a meter")}
        </button>
      )}
    >
      {entries.length === 0
        ? (
          <p class="quiet empty">
            {kind === "group"
              ? t(
                "None. A group sends packets to one of several ports, to all of them, or to the first that is up.",
              )
              : t("None. A meter holds packets to a rate: what is over it is dropped or marked.")}
          </p>
        )
        : <EntryTable {...{ kind, bridge, entries, may }} onOpen={setOpen} />}
      {open?.what === "remove" && (
        <Removal
          {...{ kind, path }}
          entry={open.entry}
          onClose={close}
        />
      )}
      {(open?.what === "add" || open?.what === "edit") && (
        <Editor
          {...{ kind, path }}
          entry={open.what === "edit" ? open.entry : undefined}
          onClose={close}
        />
      )}
    </Card>
  );
}

function EntryTable({ kind, bridge, entries, may, onOpen }: {
  readonly kind: Kind;
  readonly bridge: string;
  readonly entries: readonly Entry[];
  readonly may: boolean;
  readonly onOpen: (open: Open) => void;
}) {
  const t = useTexts();
  return (
    <div class="scroll">
      <table class="stacks">
        <thead>
          <tr>
            <th class="number">{t("Number")}</th>
            <th>{t("What it does")}</th>
            <th class="number">{t("Packets")}</th>
            <th class="number">{t("Bytes")}</th>
            <th class="number">{t("Used by")}</th>
            <th class="number">{t("There for")}</th>
            <th />
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <tr key={entry.number}>
              <td class="number" data-name={t("Number")}>{entry.number}</td>
              <td data-name={t("What it does")}>
                <code>{entry.text}</code>
                {entry.parts.length > 0 && entry.parts.some((each) => each.packets > 0) && (
                  <div class="row tight">
                    {entry.parts.map((each, i) => (
                      <Badge key={i}>
                        {kind === "group"
                          ? t("bucket {n}: {packets}", { n: i, packets: count(each.packets) })
                          : t("band {n}: {packets}", { n: i, packets: count(each.packets) })}
                      </Badge>
                    ))}
                  </div>
                )}
              </td>
              <td class="number" data-name={t("Packets")}>{count(entry.packets)}</td>
              <td class="number" data-name={t("Bytes")}>{bytes(entry.bytes)}</td>
              <td class="number" data-name={t("Used by")}>
                <a href={placeText(["flows", bridge], { q: `actions=${kind}:${entry.number}` })}>
                  {count(entry.users)}
                </a>
              </td>
              <td class="number" data-name={t("There for")}>{duration(entry.durationSeconds)}</td>
              <td class="number">
                {may && (
                  <span class="row tight end">
                    <ChangeButton onClick={() => onOpen({ what: "edit", entry })} />
                    <RemoveButton onClick={() => onOpen({ what: "remove", entry })} />
                  </span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface EntryDialogProps {
  readonly kind: Kind;
  readonly path: string;
  readonly onClose: () => void;
}

function Editor(
  { kind, path, entry, onClose }: EntryDialogProps & { readonly entry: Entry | undefined },
) {
  const { api, toasts } = useApp();
  const t = useTexts();
  const [text, setText] = useState(entry?.text ?? "");
  const [wrong, setWrong] = useState<string>();
  const { busy, run } = useAction();
  const save = (): void =>
    void run(async () => {
      await api.ask(entry ? "PATCH" : "POST", path, { body: { text: text.trim() } });
      toasts.good(kind === "group" ? t("The group is in force.") : t("The meter is in force."));
      onClose();
    }, (error) => {
      setWrong(error.message);
      return true;
    });
  const title = kind === "group"
    ? entry ? t("Change group {n}", { n: entry.number }) : t("Add a group")
    : entry
    ? t("Change meter {n}", { n: entry.number })
    : t("Add a meter");
  return (
    <Dialog
      title={title}
      wide
      busy={busy}
      disabled={text.trim() === ""}
      onSubmit={save}
      onClose={onClose}
    >
      <Field
        name={kind === "group" ? t("Group") : t("Meter")}
        wrong={wrong}
        hint={
          <>
            {t("As ovs-ofctl takes it, for example:")} <code>{EXAMPLES[kind]}</code>
          </>
        }
      >
        <textarea
          class="mono"
          rows={4}
          spellcheck={false}
          placeholder={EXAMPLES[kind]}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </Field>
    </Dialog>
  );
}

function Removal({ kind, path, entry, onClose }: EntryDialogProps & { readonly entry: Entry }) {
  const { api, toasts } = useApp();
  const t = useTexts();
  const { busy, run } = useAction();
  const { number, users, text } = entry;
  const remove = (): void =>
    void run(async () => {
      await api.ask("DELETE", `${path}?${kind}=${number}`);
      toasts.good(
        kind === "group"
          ? t("Group {n} was removed.", { n: number })
          : t("Meter {n} was removed.", { n: number }),
      );
      onClose();
    });
  return (
    <Dialog
      title={kind === "group"
        ? t("Remove group {n}", { n: number })
        : t("Remove meter {n}", { n: number })}
      submit={t("Remove")}
      danger
      busy={busy}
      onSubmit={remove}
      onClose={onClose}
    >
      <pre class="block">{text}</pre>
      {users > 0 && (
        <Note tone="warn">
          {t("{n} use it; flows that do are removed with it.", { n: users })}
        </Note>
      )}
    </Dialog>
  );
}
