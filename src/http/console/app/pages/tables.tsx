/** Every table of the database, for what has no page of its own: mirrors, QoS, IPFIX, SSL … */
import { useState } from "preact/hooks";
import type { RowsJson, TablesJson } from "../../../routes/tables.ts";
import { part } from "../core/api.ts";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { applyChange } from "../core/change.ts";
import { type Row, rowName, USUAL } from "../core/columns.ts";
import { RemoveButton } from "../ui/buttons.tsx";
import { Dialog, Text } from "../ui/form.tsx";
import { Icon } from "../ui/icons.tsx";
import type { PageProps } from "../ui/pages.tsx";
import { Card, Empty, Waiting } from "../ui/parts.tsx";
import { RowEditor } from "../ui/row-editor.tsx";

/** Tables whose rows live by themselves, or in a place that is clear. */
const PLACELESS: ReadonlySet<string> = new Set([
  "Bridge",
  "Manager",
  "SSL",
  "QoS",
  "Queue",
  "Flow_Sample_Collector_Set",
  "IPFIX",
]);

/** What a place looks like, by table. */
const PLACES: Readonly<Record<string, string>> = {
  Port: "Bridge/br0/ports",
  Mirror: "Bridge/br0/mirrors",
  Controller: "Bridge/br0/controller",
  NetFlow: "Bridge/br0/netflow",
  sFlow: "Bridge/br0/sflow",
  IPFIX: "Bridge/br0/ipfix",
  Flow_Table: "Bridge/br0/flow_tables/0",
  AutoAttach: "Bridge/br0/auto_attach",
  Interface: "Port/p1/interfaces",
  Datapath: "Open_vSwitch/Open_vSwitch/datapaths/system",
  CT_Zone: "Datapath/UUID/ct_zones/0",
  CT_Timeout_Policy: "CT_Zone/UUID/timeout_policy",
};

type Open =
  | { readonly what: "edit"; readonly id: string; readonly name: string }
  | { readonly what: "place" }
  | { readonly what: "add"; readonly place?: string };

export function Tables({ rest: [chosen = "Open_vSwitch"] }: PageProps) {
  const { router } = useApp();
  const t = useTexts();
  const tables = useQuery<TablesJson>("/tables", { live: true });
  if (tables.data === undefined) return <Waiting error={tables.error} retry={tables.reload} />;
  const table = tables.data.tables.find(({ name }) => name === chosen);
  return (
    <div class="split">
      <nav class="card list" aria-label={t("Tables")}>
        {tables.data.tables.map(({ name, rows }) => (
          <a
            key={name}
            href={`#/tables/${name}`}
            aria-current={name === chosen ? "page" : undefined}
            onClick={() => router.go(["tables", name])}
          >
            {name} <span class="faint push">{rows}</span>
          </a>
        ))}
      </nav>
      {table && <Rows key={table.name} table={table} />}
    </div>
  );
}

function Rows({ table }: { readonly table: TablesJson["tables"][number] }) {
  const app = useApp();
  const t = useTexts();
  const may = useMay("operator");
  const { data, error, reload } = useQuery<RowsJson>(`/tables/${table.name}?limit=500`, {
    live: true,
  });
  const [open, setOpen] = useState<Open>();
  const [place, setPlace] = useState(PLACES[table.name] ?? "");
  const { busy, run } = useAction();
  const columns = USUAL[table.name] ?? table.columns.slice(0, 6).map(({ name }) => name);
  const close = (): void => {
    setOpen(undefined);
    reload();
  };
  const remove = (row: Row): void =>
    void run(async () => {
      await applyChange(app, t, {
        method: "DELETE",
        path: `/tables/${table.name}/${part(row._uuid)}`,
        said: t("{name} was removed.", { name: rowName(row) }),
      });
      reload();
    });
  const rows = (data?.rows ?? []) as readonly Row[];
  return (
    <Card
      title={table.name}
      actions={may && table.name !== "Open_vSwitch" && (
        <button
          type="button"
          class="small"
          onClick={() => setOpen(PLACELESS.has(table.name) ? { what: "add" } : { what: "place" })}
        >
          <Icon name="add" /> {t("Add a row")}
        </button>
      )}
    >
      {data === undefined && <Waiting error={error} retry={reload} />}
      {data?.rows.length === 0 && (
        <Empty icon="tables" title={t("No rows")}>
          <p>{t("This table is empty. Its columns are those of ovs-vswitchd.conf.db(5).")}</p>
        </Empty>
      )}
      {rows.length > 0 && (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>{t("Row")}</th>
                {columns.map((name) => <th key={name}>{name}</th>)}
                <th />
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr
                  key={row._uuid}
                  class="pick"
                  onClick={() => setOpen({ what: "edit", id: row._uuid, name: rowName(row) })}
                >
                  <td>
                    <strong>{rowName(row)}</strong>
                  </td>
                  {columns.map((name) => <td key={name} class="mono wrap">{cell(row[name])}</td>)}
                  <td class="number">
                    {may && table.name !== "Open_vSwitch" && (
                      <RemoveButton
                        disabled={busy}
                        onClick={(event) => {
                          event.stopPropagation();
                          remove(row);
                        }}
                      />
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {open?.what === "edit" && (
        <RowEditor
          table={table.name}
          id={open.id}
          title={`${table.name} ${open.name}`}
          onClose={close}
        />
      )}
      {open?.what === "place" && (
        <Dialog
          title={t("Where does it belong?")}
          onClose={close}
          onSubmit={() => setOpen({ what: "add", place })}
          submit={t("Go on")}
        >
          <Text
            name={t("Place")}
            mono
            required
            autofocus
            value={place}
            onChange={setPlace}
            hint={t("TABLE/ROW/COLUMN, and /KEY in a map: the column that refers to the new row.")}
          />
        </Dialog>
      )}
      {open?.what === "add" && (
        <RowEditor
          table={table.name}
          {...(open.place !== undefined && { place: open.place })}
          title={t("Add: {table}", { table: table.name })}
          onClose={close}
        />
      )}
    </Card>
  );
}

function cell(value: unknown): string {
  if (value === null || value === undefined || value === "") return "–";
  if (Array.isArray(value)) return value.length === 0 ? "–" : value.map(short).join(", ");
  if (typeof value === "object") {
    const text = Object.entries(value).map(([key, each]) => `${key}=${short(each)}`).join(" ");
    return text === "" ? "–" : text;
  }
  return short(value);
}

const short = (value: unknown): string => {
  const text = String(value);
  return /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(text) ? text.slice(0, 8) : text;
};
