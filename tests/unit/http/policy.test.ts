/** Every route × {anonymous, reader, operator, admin}: who may is what the table says, and no more. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ROUTES } from "../../../src/http/app.ts";
import { type Role, ROLES } from "../../../src/http/auth/roles.ts";
import { Bench } from "./source.ts";

/** The policy, written down a second time: a change must be made on purpose. */
const POLICY: Readonly<Record<string, "anyone" | Role>> = {
  "GET /healthz": "anyone",
  "GET /readyz": "anyone",
  "POST /api/v1/setup": "anyone",
  "POST /api/v1/login": "anyone",
  "GET /api/v1/session": "reader",
  "POST /api/v1/logout": "reader",
  "POST /api/v1/password": "reader",
  "GET /api/v1/tokens": "reader",
  "POST /api/v1/tokens": "reader",
  "DELETE /api/v1/tokens/:id": "reader",
  "GET /api/v1/users": "admin",
  "POST /api/v1/users": "admin",
  "GET /api/v1/users/:name": "admin",
  "PATCH /api/v1/users/:name": "admin",
  "DELETE /api/v1/users/:name": "admin",
  "GET /api/v1/audit": "admin",
  "GET /api/v1/openapi.json": "reader",
  "GET /api/v1/status": "reader",
  "GET /api/v1/about": "reader",
  "GET /api/v1/bridges": "reader",
  "POST /api/v1/bridges": "operator",
  "GET /api/v1/bridges/:name": "reader",
  "PATCH /api/v1/bridges/:name": "operator",
  "DELETE /api/v1/bridges/:name": "operator",
  "POST /api/v1/bridges/:name/ports": "operator",
  "GET /api/v1/bridges/:name/ports/:port": "reader",
  "GET /api/v1/bridges/:name/ports/:port/queues": "reader",
  "PATCH /api/v1/bridges/:name/ports/:port": "operator",
  "DELETE /api/v1/bridges/:name/ports/:port": "operator",
  "GET /api/v1/bridges/:name/flows": "reader",
  "POST /api/v1/bridges/:name/flows": "operator",
  "PATCH /api/v1/bridges/:name/flows": "operator",
  "DELETE /api/v1/bridges/:name/flows": "operator",
  "POST /api/v1/bridges/:name/flows/check": "reader",
  "GET /api/v1/bridges/:name/groups": "reader",
  "POST /api/v1/bridges/:name/groups": "operator",
  "PATCH /api/v1/bridges/:name/groups": "operator",
  "DELETE /api/v1/bridges/:name/groups": "operator",
  "GET /api/v1/bridges/:name/meters": "reader",
  "POST /api/v1/bridges/:name/meters": "operator",
  "PATCH /api/v1/bridges/:name/meters": "operator",
  "DELETE /api/v1/bridges/:name/meters": "operator",
  "GET /api/v1/bridges/:name/macs": "reader",
  "GET /api/v1/bridges/:name/connections": "reader",
  "GET /api/v1/datapath/flows": "reader",
  "GET /api/v1/conntrack": "reader",
  "DELETE /api/v1/conntrack": "operator",
  "POST /api/v1/trace": "reader",
  "POST /api/v1/trace/packet": "operator",
  "GET /api/v1/captures": "operator",
  "POST /api/v1/captures": "operator",
  "GET /api/v1/captures/:id": "operator",
  "DELETE /api/v1/captures/:id": "operator",
  "POST /api/v1/captures/:id/stop": "operator",
  "GET /api/v1/captures/:id/pcap": "operator",
  "GET /api/v1/counters": "reader",
  "GET /api/v1/logs": "reader",
  "GET /api/v1/logs/levels": "reader",
  "PATCH /api/v1/logs/levels": "operator",
  "GET /api/v1/logs/stream": "reader",
  "GET /api/v1/events": "reader",
  "GET /api/v1/bridges/:name/packet-ins/stream": "operator",
  "GET /api/v1/statistics": "reader",
  "GET /api/v1/statistics/history": "reader",
  "GET /api/v1/statistics/stream": "reader",
  "GET /api/v1/devices": "reader",
  "GET /api/v1/vocabulary": "reader",
  "GET /metrics": "reader",
  "GET /api/v1/history": "reader",
  "GET /api/v1/history/:revision": "reader",
  "GET /api/v1/history/:revision/diff": "reader",
  "POST /api/v1/history/:revision/rollback": "operator",
  "GET /api/v1/confirm": "reader",
  "POST /api/v1/confirm": "operator",
  "DELETE /api/v1/confirm": "operator",
  "POST /api/v1/confirm/keep": "operator",
  "GET /api/v1/backup": "operator",
  "POST /api/v1/restore": "operator",
  "GET /api/v1/tables": "reader",
  "GET /api/v1/tables/:table": "reader",
  "POST /api/v1/tables/:table": "operator",
  "GET /api/v1/tables/:table/:id": "reader",
  "PATCH /api/v1/tables/:table/:id": "operator",
  "DELETE /api/v1/tables/:table/:id": "operator",
  "POST /api/v1/batch": "operator",
  ...Object.fromEntries(
    ["interfaces", "mirrors", "controllers", "managers", "qos", "queues"].flatMap((path) =>
      [
        [`GET /api/v1/${path}`, "reader"],
        [`POST /api/v1/${path}`, "operator"],
        [`GET /api/v1/${path}/:id`, "reader"],
        [`PATCH /api/v1/${path}/:id`, "operator"],
        [`DELETE /api/v1/${path}/:id`, "operator"],
      ] as const
    ),
  ),
};

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open();
});
afterAll(() => bench.close());

test("the table of routes is the policy", () => {
  const table = ROUTES.map(({ method, path, needs }) => [`${method} ${path}`, needs]);
  expect(Object.fromEntries(table)).toEqual(POLICY);
  expect(table).toHaveLength(Object.keys(POLICY).length);
});

const WHO = [undefined, ...ROLES];

describe.each(Object.entries(POLICY))("%s", (line, needs) => {
  const [method = "", path = ""] = line.split(" ");
  test.each(WHO)("as %p", async (role) => {
    // A body that no route takes: whoever may is refused for the body, and nothing happens.
    const body = method === "GET" ? undefined : "\u0000 not a body";
    const target = path.replace(/:\w+/g, "nosuch");
    // Streams would not end by themselves.
    const query = /stream$|events$/.test(path) ? "?nosuch=1" : "";
    const { status } = await bench.ask(method, target + query, {
      ...(role && { as: role }),
      body,
    });
    const may = needs === "anyone" ||
      (role !== undefined && ROLES.indexOf(role) >= ROLES.indexOf(needs));
    if (may) expect([401, 403]).not.toContain(status);
    else expect(status).toBe(role === undefined ? 401 : 403);
  });
});
