// The first page: logs in (or makes the first user, where the link of the log was opened), shows
// /api/v1/status and /api/v1/bridges, and asks again every two seconds while it is visible. Everything from the server is written as text, never as HTML.
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

/** A status other than 2xx: `message` is the problem's detail. */
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(method, path, body, headers = {}) {
  const response = await fetch(path, {
    method,
    headers: { accept: "application/json", ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = text === "" ? undefined : JSON.parse(text);
  if (!response.ok) throw new Refused(response.status, json.detail);
  return json;
}

let session;
let setupToken = /^#setup=([A-Za-z0-9_-]+)$/.exec(location.hash)?.[1];
// The secret is not to stay in the address bar.
if (setupToken !== undefined) history.replaceState(null, "", "/");

function showLogin(hint) {
  session = undefined;
  const first = setupToken !== undefined;
  byId("login-title").textContent = first ? "Make the first user" : "Log in";
  byId("login-button").textContent = first ? "Make admin" : "Log in";
  byId("login-hint").textContent = first
    ? "An admin. The password has at least 10 characters."
    : hint;
  byId("login-password").autocomplete = first ? "new-password" : "current-password";
  byId("login").hidden = false;
  byId("switch").hidden = true;
  byId("user").hidden = true;
  byId("live").textContent = "logged out";
  byId("live").className = "";
  byId("login-name").focus();
}

function showSession(opened) {
  session = opened;
  byId("user-name").textContent = `${opened.user} (${opened.role})`;
  byId("user").hidden = false;
  byId("login").hidden = true;
  byId("switch").hidden = false;
  return refresh();
}

async function submitLogin(event) {
  event.preventDefault();
  const error = byId("login-error");
  const button = byId("login-button");
  error.textContent = "";
  button.disabled = true;
  try {
    const given = { name: byId("login-name").value, password: byId("login-password").value };
    await showSession(
      setupToken === undefined
        ? await ask("POST", "/api/v1/login", given)
        : await ask("POST", "/api/v1/setup", { ...given, token: setupToken }),
    );
    byId("login-password").value = "";
  } catch (failure) {
    error.textContent = failure.message;
  } finally {
    button.disabled = false;
  }
}

async function logout() {
  try {
    await ask("POST", "/api/v1/logout", undefined, { "x-csrf-token": session.csrfToken });
  } catch {
    // It has ended already.
  }
  setupToken = undefined;
  showLogin("");
}

async function refresh() {
  const live = byId("live");
  try {
    const [status, bridges] = await Promise.all([
      ask("GET", "/api/v1/status"),
      ask("GET", "/api/v1/bridges"),
    ]);
    showStatus(status);
    showBridges(bridges);
    live.textContent = "live";
    live.className = "good";
  } catch (error) {
    if (error.status === 401) return showLogin("Your session has ended.");
    live.textContent = `no answer: ${error.message}`;
    live.className = "bad";
  }
}

async function loop() {
  if (session !== undefined && !document.hidden) await refresh();
  setTimeout(loop, EVERY_MS);
}

async function start() {
  try {
    await showSession(await ask("GET", "/api/v1/session"));
  } catch (error) {
    showLogin(error.status === 401 ? error.message : `No answer: ${error.message}`);
  }
  loop();
}

byId("login-form").addEventListener("submit", submitLogin);
byId("logout").addEventListener("click", logout);
document.addEventListener("visibilitychange", () => {
  if (session !== undefined && !document.hidden) refresh();
});
start();
