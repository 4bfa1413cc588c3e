/**
 * A form for any row of any table: a field for each column, by the column's type. What was changed
 * and nothing else is sent, and refused if somebody else was faster.
 */
import { useEffect, useState } from "preact/hooks";
import type { RowsJson, TablesJson } from "../../../routes/tables.ts";
import { type FieldError, part, Refused } from "../core/api.ts";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { applyChange } from "../core/change.ts";
import {
  CHOICES,
  type Column,
  fromText,
  isMap,
  isSet,
  KEYS,
  type Row,
  rowName,
  type Table,
  toText,
  typeText,
  USUAL,
} from "../core/columns.ts";
import { Dialog, Field, Pick, Text } from "./form.tsx";
import { type Entries, MapEditor, mapPatch } from "./map-editor.tsx";
import { Note, Waiting } from "./parts.tsx";

export interface RowEditorProps {
  readonly table: string;
  /** The row's UUID or name; undefined: a new one. */
  readonly id?: string;
  /** Where a new row belongs: `Bridge/br0/controller`. */
  readonly place?: string;
  readonly title: string;
  readonly onClose: () => void;
}

type Draft = Readonly<Record<string, string | Entries>>;

export function RowEditor({ table: name, id, place, title, onClose }: RowEditorProps) {
  const { api } = useApp();
  const tables = useQuery<TablesJson>("/tables");
  const [read, setRead] = useState<{ row: Row; etag: string | null } | undefined>(
    id === undefined ? { row: { _uuid: "" }, etag: null } : undefined,
  );
  const [error, setError] = useState<Refused>();
  useEffect(() => {
    if (id === undefined) return;
    api.askWhole<Row>("GET", `/tables/${part(name)}/${part(id)}`).then(
      ({ json, etag }) => setRead({ row: json, etag }),
      (failure) => setError(failure instanceof Refused ? failure : undefined),
    );
  }, [name, id]);
  const table = tables.data?.tables.find((each) => each.name === name);
  if (table === undefined || read === undefined) {
    return (
      <Dialog title={title} onClose={onClose}>
        <Waiting error={error ?? tables.error} />
      </Dialog>
    );
  }
  return (
    <Editor
      table={table}
      row={read.row}
      etag={read.etag}
      isNew={id === undefined}
      place={place}
      title={title}
      onClose={onClose}
    />
  );
}

interface EditorProps {
  readonly table: Table;
  readonly row: Row;
  readonly etag: string | null;
  readonly isNew: boolean;
  readonly place: string | undefined;
  readonly title: string;
  readonly onClose: () => void;
}

const initial = (column: Column, row: Row): string | Entries =>
  isMap(column)
    ? Object.entries((row[column.name] ?? {}) as Record<string, unknown>)
      .map(([key, value]) => [key, String(value)] as const)
    : toText(column, row[column.name]);

function Editor({ table, row, etag, isNew, place, title, onClose }: EditorProps) {
  const app = useApp();
  const t = useTexts();
  const may = useMay("operator");
  const columns = table.columns.filter(({ writable, name }) =>
    writable && (isNew || table.name !== "Bridge" || name !== "ports")
  );
  const [draft, setDraft] = useState<Draft>(() =>
    Object.fromEntries(columns.map((column) => [column.name, initial(column, row)]))
  );
  const [wrong, setWrong] = useState<Readonly<Record<string, string>>>({});
  const [refusal, setRefusal] = useState<string>();
  const { busy, run } = useAction();
  const usual = USUAL[table.name] ?? columns.map(({ name }) => name);
  const [first, rest] = [
    usual.flatMap((name) => columns.find((column) => column.name === name) ?? []),
    columns.filter(({ name }) => !usual.includes(name)),
  ];

  const save = (): void => {
    const body: Record<string, unknown> = {};
    const bad: Record<string, string> = {};
    for (const column of columns) {
      const value = draft[column.name];
      if (value === undefined) continue;
      if (typeof value !== "string") {
        const old = (row[column.name] ?? {}) as Record<string, unknown>;
        const patch = mapPatch(old, value);
        if (Object.keys(patch).length > 0) body[column.name] = patch;
        continue;
      }
      if (value === initial(column, row)) continue;
      try {
        body[column.name] = fromText(column, value);
      } catch {
        bad[column.name] = t("This is no {type}.", { type: typeText(column, t) });
      }
    }
    setWrong(bad);
    setRefusal(undefined);
    if (Object.keys(bad).length > 0) return;
    if (!isNew && Object.keys(body).length === 0) return onClose();
    const where = isNew
      ? `/tables/${part(table.name)}${place === undefined ? "" : `?place=${part(place)}`}`
      : `/tables/${part(table.name)}/${part(row._uuid)}`;
    void run(async () => {
      await applyChange(app, t, {
        method: isNew ? "POST" : "PATCH",
        path: where,
        body,
        etag,
        said: isNew ? t("Added.") : t("Saved: {name}.", { name: rowName(row) }),
      });
      onClose();
    }, (error) => {
      setWrong(byColumn(error.errors));
      setRefusal(error.message);
      return true;
    });
  };
  const field = (column: Column) => (
    <ColumnField
      key={column.name}
      table={table.name}
      column={column}
      value={draft[column.name] ?? ""}
      wrong={wrong[column.name]}
      onChange={(value) => setDraft({ ...draft, [column.name]: value })}
    />
  );
  return (
    <Dialog
      title={title}
      wide
      onClose={onClose}
      busy={busy}
      submit={isNew ? t("Add") : t("Save")}
      {...(may && { onSubmit: save })}
    >
      {refusal !== undefined && <Note tone="bad">{refusal}</Note>}
      <div class="fields">{first.map(field)}</div>
      {rest.length > 0 && (
        <details>
          <summary>{t("All other columns ({n})", { n: rest.length })}</summary>
          <div class="fields">{rest.map(field)}</div>
        </details>
      )}
    </Dialog>
  );
}

const byColumn = (errors: readonly FieldError[]): Record<string, string> =>
  Object.fromEntries(errors.map(({ where, message }) => [where.split(".")[0] ?? "", message]));

interface ColumnFieldProps {
  readonly table: string;
  readonly column: Column;
  readonly value: string | Entries;
  readonly wrong: string | undefined;
  readonly onChange: (value: string | Entries) => void;
}

function ColumnField({ table, column, value, wrong, onChange }: ColumnFieldProps) {
  const t = useTexts();
  const { name, key, optional } = column;
  const choices = column.choices ?? CHOICES[`${table}.${name}`];
  const type = typeText(column, t);
  if (typeof value !== "string") {
    return (
      <div class="all">
        <MapEditor
          label={name}
          entries={value}
          known={KEYS[`${table}.${name}`] ?? []}
          onChange={onChange}
        />
      </div>
    );
  }
  const common = { name, hint: type, wrong };
  if (column.refersTo !== undefined && !isSet(column)) {
    return <ReferenceField {...common} to={column.refersTo} value={value} onChange={onChange} />;
  }
  if (!isSet(column) && (choices !== undefined || key === "boolean")) {
    const words = choices ?? ["true", "false"];
    return (
      <Pick
        {...common}
        value={value}
        choices={[
          ...(optional || (value === "" && !words.includes(""))
            ? [["", t("not set")] as const]
            : []),
          ...words.map((word) => [word, word === "" ? t("(empty)") : word] as const),
        ]}
        onChange={onChange}
      />
    );
  }
  if (isSet(column) && key === "string") {
    return (
      <Field {...common} hint={`${type} · ${t("one a line")}`}>
        <textarea
          class="mono"
          rows={2}
          spellcheck={false}
          value={value}
          onInput={(event) => onChange(event.currentTarget.value)}
        />
      </Field>
    );
  }
  const hint = isSet(column) ? `${type} · ${t("separated by commas")}` : type;
  return <Text {...common} hint={hint} mono value={value} onChange={onChange} />;
}

function ReferenceField(
  { to, value, onChange, ...field }: {
    readonly name: string;
    readonly hint: string;
    readonly wrong: string | undefined;
    readonly to: string;
    readonly value: string;
    readonly onChange: (value: string) => void;
  },
) {
  const t = useTexts();
  const { data } = useQuery<RowsJson>(`/tables/${part(to)}?limit=1000`);
  const rows = (data?.rows ?? []) as readonly Row[];
  return (
    <Pick
      {...field}
      hint={t("a row of {table}", { table: to })}
      value={value}
      choices={[
        ["", t("not set")],
        ...rows.map((row) => [row._uuid, `${rowName(row)} (${row._uuid.slice(0, 8)})`] as const),
      ]}
      onChange={onChange}
    />
  );
}
