/** Controllers of bridges, managers of the database, and every OpenFlow connection there is. */
import { useState } from "preact/hooks";
import type { z } from "zod";
import type { Bridges } from "../../../routes/bridges.ts";
import type { connectionsSchema } from "../../../routes/flows.ts";
import type { RowsJson } from "../../../routes/tables.ts";
import { part } from "../core/api.ts";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { applyChange } from "../core/change.ts";
import type { Row } from "../core/columns.ts";
import { count } from "../core/format.ts";
import { ChangeButton, RemoveButton } from "../ui/buttons.tsx";
import { Icon } from "../ui/icons.tsx";
import type { PageProps } from "../ui/pages.tsx";
import { Badge, Card, Dot, Empty, Waiting } from "../ui/parts.tsx";
import { RowEditor } from "../ui/row-editor.tsx";

type Editing =
  | { readonly table: "Controller"; readonly place: string }
  | { readonly table: "Manager" }
  | { readonly table: "Controller" | "Manager"; readonly id: string };

export function Controllers({ query: { add } }: PageProps) {
  const t = useTexts();
  const may = useMay("operator");
  const bridges = useQuery<Bridges>("/bridges", { live: true });
  const controllers = useQuery<RowsJson>("/tables/Controller?limit=1000", { live: true });
  const managers = useQuery<RowsJson>("/tables/Manager?limit=1000", { live: true });
  const rows = useQuery<RowsJson>("/tables/Bridge?columns=name,controller&limit=1000", {
    live: true,
  });
  const [editing, setEditing] = useState<Editing | undefined>(
    add === undefined ? undefined : { table: "Controller", place: `Bridge/${add}/controller` },
  );
  if (!bridges.data || !controllers.data || !managers.data || !rows.data) {
    return <Waiting error={bridges.error ?? controllers.error} retry={controllers.reload} />;
  }
  const bridgeOf = (uuid: string): string[] =>
    (rows.data?.rows as readonly Row[]).filter((row) =>
      (row["controller"] as readonly string[]).includes(uuid)
    ).map((row) => String(row["name"]));
  const close = (): void => {
    setEditing(undefined);
    controllers.reload();
    managers.reload();
  };
  const names = bridges.data.bridges.map(({ name }) => name);
  return (
    <>
      <Card
        title={t("OpenFlow controllers")}
        actions={may &&
          names.map((name) => (
            <button
              type="button"
              class="small"
              key={name}
              onClick={() =>
                setEditing({ table: "Controller", place: `Bridge/${name}/controller` })}
            >
              <Icon name="add" /> {t("For {name}", { name })}
            </button>
          ))}
      >
        {controllers.data.rows.length === 0
          ? (
            <Empty icon="controllers" title={t("No controller")}>
              <p>
                {t(
                  "A controller tells bridges over OpenFlow what to do with packets. Without one, " +
                    "a bridge learns addresses like any switch.",
                )}
              </p>
              <code>ovs-vsctl set-controller br0 tcp:192.0.2.1:6653</code>
            </Empty>
          )
          : (
            <RemoteTable
              rows={controllers.data.rows as readonly Row[]}
              table="Controller"
              whose={bridgeOf}
              may={may}
              onEdit={(id) => setEditing({ table: "Controller", id })}
              onChanged={controllers.reload}
            />
          )}
      </Card>
      <Card
        title={t("Managers of the database")}
        actions={may && (
          <button
            type="button"
            class="small"
            onClick={() => setEditing({ table: "Manager" })}
          >
            <Icon name="add" /> {t("Add a manager")}
          </button>
        )}
      >
        {managers.data.rows.length === 0
          ? (
            <p class="quiet empty">
              {t(
                "None. A manager reads and changes the configuration over OVSDB: `ptcp:6640` waits " +
                  "for one, `tcp:192.0.2.1:6640` goes to one.",
              )}
            </p>
          )
          : (
            <RemoteTable
              rows={managers.data.rows as readonly Row[]}
              table="Manager"
              whose={() => []}
              may={may}
              onEdit={(id) => setEditing({ table: "Manager", id })}
              onChanged={managers.reload}
            />
          )}
      </Card>
      {names.map((name) => <Connections key={name} bridge={name} />)}
      {editing !== undefined && (
        <RowEditor
          {...editing}
          title={"id" in editing
            ? t("Change {target}", { target: editing.table })
            : t("Add: {table}", { table: editing.table })}
          onClose={close}
        />
      )}
    </>
  );
}

interface RemoteTableProps {
  readonly rows: readonly Row[];
  readonly table: "Controller" | "Manager";
  readonly whose: (uuid: string) => readonly string[];
  readonly may: boolean;
  readonly onEdit: (id: string) => void;
  readonly onChanged: () => void;
}

function RemoteTable({ rows, table, whose, may, onEdit, onChanged }: RemoteTableProps) {
  const app = useApp();
  const t = useTexts();
  const { busy, run } = useAction();
  const remove = (row: Row): void =>
    void run(async () => {
      await applyChange(app, t, {
        method: "DELETE",
        path: `/tables/${table}/${part(row._uuid)}`,
        said: t("{name} was removed.", { name: String(row["target"]) }),
      });
      onChanged();
    });
  return (
    <div class="scroll">
      <table class="stacks">
        <thead>
          <tr>
            <th>{t("Target")}</th>
            <th>{t("Bridge")}</th>
            <th>{t("State")}</th>
            <th>{t("Role")}</th>
            <th />
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const status = (row["status"] ?? {}) as Readonly<Record<string, string>>;
            const connected = row["is_connected"] === true;
            // One that waits has nobody to miss.
            const waits = /^p(tcp|ssl|unix):/.test(String(row["target"]));
            return (
              <tr key={row._uuid}>
                <td class="mono">{String(row["target"])}</td>
                <td data-name={t("Bridge")}>{whose(row._uuid).join(", ")}</td>
                <td data-name={t("State")}>
                  <span class="row tight">
                    <Dot tone={connected ? "good" : waits ? undefined : "bad"} />
                    {connected ? t("connected") : waits ? t("waits") : t("not connected")}
                    {status["state"] && <Badge>{status["state"]}</Badge>}
                    {status["last_error"] && <span class="bad">{status["last_error"]}</span>}
                  </span>
                </td>
                <td data-name={t("Role")}>{String(row["role"] ?? "–")}</td>
                <td class="number">
                  {may && (
                    <span class="row tight end">
                      <ChangeButton onClick={() => onEdit(row._uuid)} />
                      <RemoveButton disabled={busy} onClick={() => remove(row)} />
                    </span>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Connections({ bridge }: { readonly bridge: string }) {
  const t = useTexts();
  const { data } = useQuery<z.infer<typeof connectionsSchema>>(
    `/bridges/${part(bridge)}/connections`,
    { everyMs: 4000 },
  );
  if (data === undefined || data.connections.length === 0) return null;
  return (
    <Card title={t("OpenFlow connections of {bridge}", { bridge })}>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>{t("Peer")}</th>
              <th>{t("Kind")}</th>
              <th>{t("Version")}</th>
              <th>{t("Role")}</th>
              <th class="number">{t("Packet-ins dropped")}</th>
              <th class="number">{t("Bad messages")}</th>
            </tr>
          </thead>
          <tbody>
            {data.connections.map((each, i) => (
              <tr key={i}>
                <td class="mono">{each.peer}</td>
                <td>{each.kind}</td>
                <td>{each.version}</td>
                <td>{each.role}</td>
                <td class="number">{count(each.packetInsDropped)}</td>
                <td class="number">{count(each.badMessages)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
