/** Your password and tokens; for admins, users and what they did. */
import { useState } from "preact/hooks";
import type { z } from "zod";
import type { auditSchema } from "../../../routes/audit.ts";
import type { tokensSchema } from "../../../routes/tokens.ts";
import type { usersSchema } from "../../../routes/users.ts";
import { part, type Role } from "../core/api.ts";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { moment } from "../core/format.ts";
import { useStore } from "../core/store.ts";
import { RemoveButton } from "../ui/buttons.tsx";
import { Dialog, Pick, Text } from "../ui/form.tsx";
import { Icon } from "../ui/icons.tsx";
import { Badge, Card, Copy, Note, Waiting } from "../ui/parts.tsx";

const ROLES: readonly Role[] = ["reader", "operator", "admin"];

export function Users() {
  const admin = useMay("admin");
  return (
    <>
      <div class="columns">
        <Password />
        <Tokens />
      </div>
      {admin && <UserList />}
      {admin && <Audit />}
    </>
  );
}

function Password() {
  const { api, toasts } = useApp();
  const t = useTexts();
  const session = useStore(api.session);
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const { busy, run } = useAction();
  const change = (event: Event): void => {
    event.preventDefault();
    void run(async () => {
      await api.ask("POST", "/password", { body: { old, new: next } });
      setOld("");
      setNext("");
      toasts.good(t("The password was changed. Your other sessions have ended."));
    });
  };
  return (
    <Card title={t("Your password")} padded>
      <form class="stack" onSubmit={change}>
        <p class="quiet">
          {t("You are {user}, {role}.", {
            user: session?.user ?? "",
            role: t(session?.role ?? ""),
          })}
        </p>
        <div class="fields">
          <Text
            name={t("Old password")}
            type="password"
            autocomplete="current-password"
            required
            value={old}
            onChange={setOld}
          />
          <Text
            name={t("New password")}
            type="password"
            autocomplete="new-password"
            required
            value={next}
            onChange={setNext}
            hint={t("At least 10 characters.")}
          />
        </div>
        <p>
          <button type="submit" disabled={busy || old === "" || next === ""}>
            {t("Change the password")}
          </button>
        </p>
      </form>
    </Card>
  );
}

function Tokens() {
  const { api, toasts } = useApp();
  const t = useTexts();
  const { data, error, reload } = useQuery<z.infer<typeof tokensSchema>>("/tokens");
  const [adding, setAdding] = useState(false);
  const { busy, run } = useAction();
  const remove = (id: number): void =>
    void run(async () => {
      await api.ask("DELETE", `/tokens/${id}`);
      toasts.good(t("The token does not open anything any more."));
      reload();
    });
  return (
    <Card
      title={t("API tokens")}
      actions={
        <button type="button" class="small" onClick={() => setAdding(true)}>
          <Icon name="add" /> {t("Make a token")}
        </button>
      }
    >
      {data === undefined && <Waiting error={error} retry={reload} />}
      {data?.tokens.length === 0 && (
        <p class="quiet empty">{t("For scripts and curl. A token can do what its role allows.")}</p>
      )}
      {data !== undefined && data.tokens.length > 0 && (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>{t("Name")}</th>
                <th>{t("User")}</th>
                <th>{t("Role")}</th>
                <th>{t("Until")}</th>
                <th />
              </tr>
            </thead>
            <tbody>
              {data.tokens.map((token) => (
                <tr key={token.id}>
                  <td>{token.name}</td>
                  <td>{token.user}</td>
                  <td>{t(token.role)}</td>
                  <td>{moment(token.expires).slice(0, 10)}</td>
                  <td class="number">
                    <RemoveButton disabled={busy} onClick={() => remove(token.id)} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {adding && (
        <AddToken
          onClose={() => {
            setAdding(false);
            reload();
          }}
        />
      )}
    </Card>
  );
}

function AddToken({ onClose }: { readonly onClose: () => void }) {
  const { api } = useApp();
  const t = useTexts();
  const session = useStore(api.session);
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("reader");
  const [days, setDays] = useState("90");
  const [made, setMade] = useState<string>();
  const { busy, run } = useAction();
  const roles = ROLES.slice(0, ROLES.indexOf(session?.role ?? "reader") + 1);
  const make = (): void =>
    void run(async () => {
      const body = { name, role, days: Number(days) };
      setMade((await api.ask<{ token: string }>("POST", "/tokens", { body })).token);
    });
  if (made !== undefined) {
    return (
      <Dialog title={t("Your new token")} onClose={onClose}>
        <Note tone="warn">{t("It is shown this once. Keep it like a password.")}</Note>
        <div class="row">
          <pre class="block">{made}</pre>
          <Copy text={made} />
        </div>
        <p class="quiet">{t("Try it:")}</p>
        <pre class="block">curl -H "Authorization: Bearer {made}" {location.origin}/api/v1/bridges</pre>
      </Dialog>
    );
  }
  return (
    <Dialog
      title={t("Make a token")}
      onClose={onClose}
      onSubmit={make}
      submit={t("Make the token")}
      busy={busy}
    >
      <div class="fields">
        <Text
          name={t("Name")}
          value={name}
          onChange={setName}
          required
          autofocus
          maxLength={64}
          placeholder="backup-script"
        />
        <Pick
          name={t("Role")}
          value={role}
          choices={roles.map((each) => [each, t(each)] as const)}
          onChange={setRole}
        />
        <Text
          name={t("Days it lives")}
          type="number"
          min={1}
          max={366}
          value={days}
          onChange={setDays}
          required
        />
      </div>
    </Dialog>
  );
}

type User = z.infer<typeof usersSchema>["users"][number];

function UserList() {
  const { api, toasts } = useApp();
  const t = useTexts();
  const { data, error, reload } = useQuery<z.infer<typeof usersSchema>>("/users");
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<User>();
  const { busy, run } = useAction();
  const setRole = (name: string, role: Role): void =>
    void run(async () => {
      await api.ask("PATCH", `/users/${part(name)}`, { body: { role } });
      toasts.good(t("{name} is {role} now.", { name, role: t(role) }));
      reload();
    });
  const remove = (name: string): void =>
    void run(async () => {
      await api.ask("DELETE", `/users/${part(name)}`);
      toasts.good(t("{name} was removed.", { name }));
      setRemoving(undefined);
      reload();
    });
  return (
    <Card
      title={t("Users")}
      actions={
        <button type="button" class="small" onClick={() => setAdding(true)}>
          <Icon name="add" /> {t("Add a user")}
        </button>
      }
    >
      {data === undefined && <Waiting error={error} retry={reload} />}
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>{t("Name")}</th>
              <th>{t("Role")}</th>
              <th>{t("Since")}</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {data?.users.map((user) => (
              <tr key={user.name}>
                <td>{user.name}</td>
                <td>
                  <select
                    class="auto small"
                    aria-label={t("Role of {name}", { name: user.name })}
                    value={user.role}
                    disabled={busy}
                    onChange={(event) => setRole(user.name, event.currentTarget.value as Role)}
                  >
                    {ROLES.map((role) => <option key={role} value={role}>{t(role)}</option>)}
                  </select>
                </td>
                <td>{moment(user.created).slice(0, 10)}</td>
                <td class="number">
                  <RemoveButton onClick={() => setRemoving(user)} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {adding && (
        <AddUser
          onClose={() => {
            setAdding(false);
            reload();
          }}
        />
      )}
      {removing !== undefined && (
        <Dialog
          title={t("Remove user {name}?", { name: removing.name })}
          onClose={() => setRemoving(undefined)}
          onSubmit={() => remove(removing.name)}
          submit={t("Remove")}
          danger
          busy={busy}
        >
          <p>{t("Sessions and tokens of this user end at once.")}</p>
        </Dialog>
      )}
    </Card>
  );
}

function AddUser({ onClose }: { readonly onClose: () => void }) {
  const { api, toasts } = useApp();
  const t = useTexts();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("reader");
  const [password, setPassword] = useState("");
  const { busy, run } = useAction();
  const add = (): void =>
    void run(async () => {
      await api.ask("POST", "/users", { body: { name, role, password } });
      toasts.good(t("{name} can log in now.", { name }));
      onClose();
    });
  return (
    <Dialog
      title={t("Add a user")}
      onClose={onClose}
      onSubmit={add}
      submit={t("Add the user")}
      busy={busy}
    >
      <div class="fields">
        <Text name={t("Name")} value={name} onChange={setName} required autofocus maxLength={32} />
        <Pick
          name={t("Role")}
          value={role}
          choices={ROLES.map((each) => [each, t(each)] as const)}
          onChange={setRole}
          hint={t("A reader sees, an operator configures, an admin manages users too.")}
        />
        <Text
          name={t("Password")}
          type="password"
          autocomplete="new-password"
          value={password}
          onChange={setPassword}
          required
          hint={t("At least 10 characters.")}
        />
      </div>
    </Dialog>
  );
}

function Audit() {
  const t = useTexts();
  const [limit, setLimit] = useState(30);
  const { data, error, reload } = useQuery<z.infer<typeof auditSchema>>(`/audit?limit=${limit}`);
  return (
    <Card
      title={t("Audit log")}
      actions={
        <button type="button" class="small" onClick={reload}>
          <Icon name="refresh" /> {t("Read again")}
        </button>
      }
    >
      {data === undefined && <Waiting error={error} retry={reload} />}
      <div class="scroll">
        <table class="stacks">
          <thead>
            <tr>
              <th>{t("When")}</th>
              <th>{t("Who")}</th>
              <th>{t("From")}</th>
              <th>{t("Request")}</th>
              <th>{t("What")}</th>
            </tr>
          </thead>
          <tbody>
            {data?.entries.map((entry) => (
              <tr key={entry.id}>
                <td class="number left">{moment(entry.time)}</td>
                <td data-name={t("Who")}>
                  {entry.user} <span class="faint">{entry.via}</span>
                </td>
                <td class="mono" data-name={t("From")}>{entry.address}</td>
                <td class="mono wrap" data-name={t("Request")}>
                  <Badge tone={entry.status < 400 ? "good" : "bad"}>{entry.status}</Badge>{" "}
                  {entry.method} {entry.path.replace("/api/v1", "")}
                </td>
                <td class="wrap" data-name={t("What")}>{entry.detail}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {data?.entries.length === limit && limit < 1000 && (
        <p class="more">
          <button type="button" onClick={() => setLimit(Math.min(1000, limit * 4))}>
            {t("Show older ones")}
          </button>
        </p>
      )}
    </Card>
  );
}
