/**
 * `/api/v1/openapi.json`: the routes as an OpenAPI 3.1 document, made from their declarations. Its
 * schemas are JSON Schema 2020-12, as zod writes them.
 */
import { z } from "zod";
import { problemSchema } from "../problem.ts";
import { operation, type Route } from "./route.ts";

type Json = { readonly [name: string]: unknown };

export const openApiSchema = z.looseObject({
  openapi: z.literal("3.1.0"),
  info: z.looseObject({ title: z.string(), version: z.string() }),
  paths: z.record(z.string(), z.record(z.string(), z.unknown())),
});

export const showOpenApi = (routes: () => readonly Route[]) =>
  operation({
    tag: "About",
    summary: "This API as an OpenAPI document",
    description: "To be read at /api.",
    response: openApiSchema,
    handle: ({ source }) => ({ json: openApi(routes(), source.version) }),
  });

export function openApi(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, "{$1}");
    (paths[path] ??= {})[route.method.toLowerCase()] = describe(route);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "solovs",
      version,
      description: "Configures and shows the switch. docs/api.md tells how to begin.",
    },
    paths,
    components: {
      schemas: { Problem: schemaOf(problemSchema, "output") },
      securitySchemes: {
        token: { type: "http", scheme: "bearer" },
        session: { type: "apiKey", in: "cookie", name: "solovs_session" },
      },
    },
  };
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io, unrepresentable: "any" }) as Json;
  return json;
}

function describe({ needs, method, path, operation }: Route): Json {
  const { tag, summary, description, response, status = 200, alsoAnswers = [] } = operation;
  const content = (schema: Json | undefined, more: readonly string[]): Json =>
    Object.fromEntries([
      ...(schema === undefined ? [] : [["application/json", { schema }]]),
      ...more.map((type) => [type, { schema: { type: "string" } }]),
    ]);
  const answers = content(response && schemaOf(response, "output"), alsoAnswers);
  const body = operation.bodyBinary === undefined
    ? requestBody(operation.body, operation.bodyText, content)
    : binaryBody(operation.bodyBinary);
  return {
    operationId: `${method.toLowerCase()} ${path}`.replace(/[^a-z0-9]+/gi, "_"),
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    "x-needs": needs,
    security: needs === "anyone" ? [] : [{ token: [] }, { session: [] }],
    parameters: parameters(path, operation.query, operation.headers ?? {}),
    ...(body && { requestBody: body }),
    responses: {
      [status]: {
        description: summary,
        ...(Object.keys(answers).length > 0 && { content: answers }),
      },
      default: {
        description: "Why it was refused, and what to do",
        content: {
          "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } },
        },
      },
    },
  };
}

function requestBody(
  schema: z.ZodType | undefined,
  text: string | undefined,
  content: (schema: Json | undefined, more: readonly string[]) => Json,
): Json | undefined {
  if (schema === undefined) return undefined;
  const types = text === undefined ? [] : ["text/plain"];
  return {
    required: true,
    ...(text !== undefined && { description: text }),
    content: content(schemaOf(schema, "input"), types),
  };
}

const binaryBody = (description: string): Json => ({
  required: true,
  description,
  content: { "application/octet-stream": { schema: { type: "string", format: "binary" } } },
});

function parameters(
  path: string,
  query: z.ZodType | undefined,
  headers: Readonly<Record<string, string>>,
): Json[] {
  const inPath = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const inHeaders = Object.entries(headers).map(([name, description]) => ({
    name,
    in: "header",
    description,
    schema: { type: "string" },
  }));
  const { properties = {}, required = [] } = (query ? schemaOf(query, "input") : {}) as {
    readonly properties?: Readonly<Record<string, Json>>;
    readonly required?: readonly string[];
  };
  const inQuery = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: "query",
    required: required.includes(name),
    ...(schema["description"] !== undefined && { description: schema["description"] }),
    schema,
  }));
  return [...inPath, ...inQuery, ...inHeaders];
}
