// The first page: shows /api/v1/status and /api/v1/bridges, and asks again every two seconds while
// it is visible. Everything from the server is written as text, never as HTML.
"use strict";

const EVERY_MS = 2000;
const byId = (id) => document.getElementById(id);

function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const count = (value) => value === null || value === undefined ? "–" : value.toLocaleString("en");

function duration(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  let rest = seconds;
  return parts.slice(first, first + 2).map(([size, unit]) => {
    const n = Math.floor(rest / size);
    rest -= n * size;
    return `${n} ${unit}`;
  }).join(" ");
}

function bytes(value) {
  if (value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

function showStatus(status) {
  byId("version").textContent = `${status.version}, speaks as Open vSwitch ${
    status.ovsVersion ?? "–"
  }`;
  const { configuration } = status;
  const facts = [
    ["Uptime", duration(status.uptimeSeconds)],
    ["Datapath", status.datapathType],
    ["Bridges", count(status.bridges)],
    ["Attached ports", count(status.ports)],
    ["Configuration", configuration.inForce ? "in force" : "being applied"],
  ];
  byId("facts").replaceChildren(
    ...facts.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value))
    ),
  );
  const rows = Object.entries(status.counters).sort(([a], [b]) => a < b ? -1 : 1);
  byId("counters").querySelector("tbody").replaceChildren(
    ...rows.map(([name, value]) =>
      element(
        "tr",
        {},
        element("td", { class: "mono" }, name),
        element("td", { class: "number" }, count(value)),
      )
    ),
  );
}

const COLUMNS = [
  "port",
  "OpenFlow port",
  "type",
  "link",
  "VLAN",
  "MAC",
  "packets in",
  "packets out",
];

function vlanText(port) {
  if (port.tag !== null) return `${port.tag}${port.vlanMode ? ` ${port.vlanMode}` : ""}`;
  if (port.trunks.length > 0) return `trunk ${port.trunks.join(", ")}`;
  return port.vlanMode ?? "all";
}

function interfaceRows(port, one) {
  const cell = (column, text, extra = "") =>
    element("td", { "data-name": COLUMNS[column], class: extra.trim() || undefined }, text);
  const { statistics } = one;
  const link = one.linkState ?? "–";
  const linkClass = link === "up" ? "good" : link === "down" ? "bad" : "quiet";
  const label = port.name === one.name ? one.name : `${port.name} / ${one.name}`;
  const traffic = (packets, octets) =>
    packets === undefined ? "–" : `${count(packets)} · ${bytes(octets)}`;
  const row = element(
    "tr",
    {},
    element("td", {}, element("strong", {}, label)),
    cell(1, one.ofport === null || one.ofport < 0 ? "–" : String(one.ofport), "number"),
    cell(2, one.type || "device"),
    cell(3, link, linkClass),
    cell(4, vlanText(port)),
    cell(5, one.mac ?? "–", "mono"),
    cell(6, traffic(statistics.rx_packets, statistics.rx_bytes), "number"),
    cell(7, traffic(statistics.tx_packets, statistics.tx_bytes), "number"),
  );
  if (one.error === null) return [row];
  const text = `${one.name}: ${one.error}`;
  const error = element("td", { colspan: String(COLUMNS.length) }, text);
  return [row, element("tr", { class: "error" }, error)];
}

function showBridge(bridge) {
  const controllers = bridge.controllers.map(({ target, connected }) =>
    element("span", { class: connected ? "good" : "bad" }, `${target} ${connected ? "✓" : "✗"} `)
  );
  const numbers = new Set([1, 6, 7]);
  const head = COLUMNS.map((name, i) =>
    element("th", { scope: "col", class: numbers.has(i) ? "number" : undefined }, name)
  );
  return element(
    "section",
    {},
    element(
      "header",
      {},
      element("h2", {}, bridge.name),
      element("p", { class: "mono" }, bridge.datapathId ?? "not set up yet"),
      element(
        "p",
        {},
        `${count(bridge.flows)} ${
          bridge.flows === 1 ? "flow" : "flows"
        } · fail mode ${bridge.failMode}`,
      ),
      element("p", {}, ...controllers),
    ),
    element(
      "div",
      { class: "scroll" },
      element(
        "table",
        { class: "ports" },
        element("thead", {}, element("tr", {}, ...head)),
        element(
          "tbody",
          {},
          ...bridge.ports.flatMap((port) =>
            port.interfaces.flatMap((one) => interfaceRows(port, one))
          ),
        ),
      ),
    ),
  );
}

function showBridges({ bridges }) {
  if (bridges.length > 0) {
    byId("bridges").replaceChildren(...bridges.map(showBridge));
    return;
  }
  const command = element("p", { class: "mono" }, "ovs-vsctl add-br br0");
  const hint = element("header", {}, element("p", {}, "No bridges yet. Make one:"), command);
  byId("bridges").replaceChildren(element("section", {}, hint));
}

async function read(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  return await response.json();
}

async function refresh() {
  const live = byId("live");
  try {
    const [status, bridges] = await Promise.all([read("/api/v1/status"), read("/api/v1/bridges")]);
    showStatus(status);
    showBridges(bridges);
    live.textContent = "live";
    live.className = "good";
  } catch (error) {
    live.textContent = `no answer: ${error.message}`;
    live.className = "bad";
  }
}

async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, EVERY_MS);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
loop();
