// Shows /api/v1/openapi.json: the routes by their tags, each with what it takes and gives.
// Everything from the server is written as text, never as HTML.
"use strict";

function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== undefined));
  return node;
}

/** A JSON schema in one line a member, as people read types. */
function typeText(schema, depth = 0) {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map((one) => typeText(one, depth)).join(" | ");
  if (schema.type === "array") return `[${typeText(schema.items ?? {}, depth)}, …]`;
  if (schema.type === "object") return objectText(schema, depth);
  return schema.type ?? "any";
}

function objectText({ properties = {}, required = [], additionalProperties }, depth) {
  const pad = "  ".repeat(depth + 1);
  const lines = Object.entries(properties).map(([name, schema]) => {
    const optional = required.includes(name) ? "" : "?";
    const note = schema.description === undefined ? "" : `  — ${schema.description}`;
    return `${pad}${name}${optional}: ${typeText(schema, depth + 1)}${note}`;
  });
  if (typeof additionalProperties === "object" && Object.keys(additionalProperties).length > 0) {
    lines.push(`${pad}[name]: ${typeText(additionalProperties, depth + 1)}`);
  }
  return lines.length === 0 ? "{}" : `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}`;
}

function schemaBlock(title, content) {
  if (content === undefined) return undefined;
  const [type, { schema }] = Object.entries(content)[0];
  const others = Object.keys(content).slice(1);
  const also = others.length === 0 ? "" : `, or ${others.join(", ")}`;
  return element(
    "div",
    {},
    element("h4", {}, `${title} (${type}${also})`),
    element("pre", {}, typeText(schema)),
  );
}

function routeBlock(path, method, route) {
  const { summary, description, parameters, requestBody, responses } = route;
  const rows = parameters.map(({ name, in: where, required, description: text = "" }) =>
    element(
      "tr",
      {},
      element("td", { class: "mono" }, name),
      element("td", {}, where),
      element("td", {}, required ? "required" : ""),
      element("td", {}, text),
    )
  );
  const [status, answer] = Object.entries(responses).find(([code]) => code !== "default");
  return element(
    "details",
    { class: "route" },
    element(
      "summary",
      {},
      element("strong", { class: "mono" }, `${method.toUpperCase()} ${path}`),
      ` ${summary} `,
      element("small", {}, route["x-needs"]),
    ),
    description === undefined ? undefined : element("p", {}, description),
    rows.length === 0 ? undefined : element("table", {}, element("tbody", {}, ...rows)),
    requestBody?.description === undefined
      ? undefined
      : element("p", {}, `Body: ${requestBody.description}`),
    schemaBlock("Body", requestBody?.content),
    answer.content === undefined
      ? element("h4", {}, `${status}, no content`)
      : schemaBlock(`Answer, ${status}`, answer.content),
  );
}

function show(document_) {
  document.getElementById("about").textContent = `version ${document_.info.version}`;
  const byTag = new Map();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, route] of Object.entries(methods)) {
      const tag = route.tags[0];
      byTag.set(tag, [...byTag.get(tag) ?? [], routeBlock(path, method, route)]);
    }
  }
  document.getElementById("routes").replaceChildren(
    ...[...byTag].map(([tag, blocks]) =>
      element("section", { class: "routes" }, element("h2", {}, tag), ...blocks)
    ),
  );
}

async function start() {
  const about = document.getElementById("about");
  try {
    const response = await fetch("/api/v1/openapi.json");
    const json = await response.json();
    if (response.ok) show(json);
    else about.textContent = json.detail;
  } catch (error) {
    about.textContent = `no answer: ${error.message}`;
  }
}

start();
