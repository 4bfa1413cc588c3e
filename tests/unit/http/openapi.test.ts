/** The OpenAPI document says what the routes are. That routes answer as declared, `Bench.ask` checks. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ROUTES } from "../../../src/http/app.ts";
import { Bench } from "./source.ts";

let bench: Bench;
// deno-lint-ignore no-explicit-any
let document: any;
beforeAll(async () => {
  bench = await Bench.open();
  document = (await bench.ask("GET", "/api/v1/openapi.json", { as: "reader" })).json;
});
afterAll(() => bench.close());

test("every route is in it, and nothing else", () => {
  const described = Object.entries<object>(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
  );
  const routes = ROUTES.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}")}`);
  expect(described.sort()).toEqual(routes.sort());
});

describe.each(ROUTES.map((route) => [`${route.method} ${route.path}`, route] as const))(
  "%s",
  (_, { method, path, needs, operation }) => {
    const described = () => document.paths[path.replace(/:(\w+)/g, "{$1}")][method.toLowerCase()];

    test("is described whole", () => {
      const { parameters, security, responses, requestBody, summary } = described();
      expect(summary).toBe(operation.summary);
      expect(security.length === 0).toBe(needs === "anyone");
      const inPath = parameters.filter((one: { in: string }) => one.in === "path");
      expect(inPath).toHaveLength(path.split(":").length - 1);
      expect(Object.keys(responses)).toEqual([String(operation.status ?? 200), "default"]);
      const { body, bodyBinary } = operation;
      expect(requestBody !== undefined).toBe(body !== undefined || bodyBinary !== undefined);
      if (operation.body !== undefined) {
        const { schema } = requestBody.content["application/json"];
        expect(schema).toBeObject();
      }
    });
  },
);

test("every operation has its own id, and every reference leads somewhere", () => {
  const text = JSON.stringify(document);
  const ids = [...text.matchAll(/"operationId":"([^"]+)"/g)].map(([, id]) => id);
  expect(new Set(ids).size).toBe(ROUTES.length);
  for (const [, path] of text.matchAll(/"\$ref":"#\/([^"]+)"/g)) {
    const target = path!.split("/").reduce((at, name) => at?.[name], document);
    expect(target).toBeDefined();
  }
});

test("what a body takes is what its schema says", () => {
  const { schema } = document.paths["/api/v1/users"].post.requestBody.content["application/json"];
  expect(schema).toMatchObject({
    type: "object",
    additionalProperties: false,
    required: ["name", "role", "password"],
    properties: { role: { enum: ["reader", "operator", "admin"] } },
  });
});

test("the page loads nothing from elsewhere and has nothing inline", async () => {
  const html = (await bench.ask("GET", "/api")).text;
  expect(html).not.toMatch(/<style|style="|\son[a-z]+="|<script(?![^>]*src=)|https?:\/\//);
  const script = (await bench.ask("GET", "/api.js")).text;
  expect(script).not.toMatch(/innerHTML|insertAdjacentHTML|document\.write|https?:\/\//);
});
