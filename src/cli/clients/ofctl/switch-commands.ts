/** Commands about the switch as a whole, its ports, queues and tables. */
import { encode, identify } from "../../../openflow/codec.ts";
import type {
  MessageOf,
  OfMessage,
  PortDescription,
  SwitchConfig,
  TableDesc,
  TableFeatures,
  TableMod,
} from "../../../openflow/messages/types.ts";
import { PORT_CONFIG } from "../../../openflow/messages/types.ts";
import { formatMessage } from "../../../openflow/text/message.ts";
import { formatTableFeatures } from "../../../openflow/text/message-tables.ts";
import { parseTableMod } from "../../../openflow/text/request-parse.ts";
import { formatVersions } from "../../../openflow/text/protocols.ts";
import { OF10, OF13, OF14, OF15, PORTS, QUEUE_ALL } from "../../../openflow/version.ts";
import { parsePort, TextError } from "../../../packet/text.ts";
import { Exit, Fatal } from "../fatal.ts";
import { toStderr } from "../output.ts";
import { command } from "./command.ts";
import { fetchPorts } from "./names.ts";
import { type Session, type Vconn, versionsFrom } from "./session.ts";

/** A port by number or by name. */
async function portOf(session: Session, target: string, text: string): Promise<number> {
  return await session.parse(target, (names) => {
    const port = parsePort(text, names);
    if (port === undefined) throw new TextError(`${target}: unknown port \`${text}'`);
    return port;
  });
}

/** What C's atoi makes of it. */
const loose = (text: string): number => (parseInt(text, 10) || 0) >>> 0;

async function show(session: Session, [target = ""]: readonly string[]): Promise<void> {
  const vconn = await session.open(target);
  const { client } = vconn;
  const verbosity = session.options.verbosity + 1;
  const reply = await session.guard(client, async () => {
    return await client.reply(client.send({ type: "features_request" }));
  }, `talking to ${target}`);
  session.print(formatMessage(reply, { verbosity }));
  const inReply = client.version < OF13 && reply.length > 32;
  if (!inReply) await session.dump(vconn, target, { type: "port_desc_request", port: PORTS.ANY });
  await session.dumpFrom(target, { type: "get_config_request" });
  client.close();
}

const trivial = (
  type:
    | "desc_request"
    | "table_stats_request"
    | "ipfix_bridge_request"
    | "ipfix_flow_request"
    | "tlv_table_request",
) =>
async (session: Session, [target = ""]: readonly string[]): Promise<void> =>
  await session.dumpFrom(target, { type });

function needVersion(vconn: Vconn, version: number, what: string): void {
  if (vconn.client.version >= version) return;
  const minor = version - 1;
  throw new Fatal(`${what} needs OpenFlow 1.${minor} or later ('-O OpenFlow1${minor}')`);
}

/** For programs that find the version: those that have what the command needs. */
const needed = (session: Session, version: 4 | 5 | 6): number | undefined =>
  session.options.findsVersion ? versionsFrom(version) : undefined;

async function dumpTableFeatures(session: Session, [target = ""]: readonly string[]) {
  const vconn = await session.open(target, needed(session, OF13));
  needVersion(vconn, OF13, "dump-table-features");
  const { client } = vconn;
  const tables: TableFeatures[] = [];
  const xid = client.send({ type: "table_features_request", tables: [] });
  for (;;) {
    const bytes = await session.guard(client, () => client.reply(xid));
    if (identify(bytes).name === "error") {
      session.print(formatMessage(bytes, { verbosity: session.options.verbosity + 1 }));
      break;
    }
    const part = await session.decodeAs(bytes, "table_features_reply");
    tables.push(...part.message.tables);
    if (!part.more) break;
  }
  const text = formatTableFeatures({ type: "table_features_reply", tables });
  session.print(`${text.replace(/^\n/, "")}\n`);
  client.close();
}

async function dumpTableDesc(session: Session, [target = ""]: readonly string[]): Promise<void> {
  const vconn = await session.open(target, needed(session, OF14));
  needVersion(vconn, OF14, "dump-table-desc");
  await session.dump(vconn, target, { type: "table_desc_request" });
  vconn.client.close();
}

const dumpPorts =
  (type: "port_stats_request" | "port_desc_request") =>
  async (session: Session, [target = "", portText]: readonly string[]): Promise<void> => {
    const vconn = await session.open(target);
    const port = portText === undefined ? PORTS.ANY : await portOf(session, target, portText);
    await session.dump(vconn, target, { type, port });
    vconn.client.close();
  };

const isAll = (text: string | undefined): boolean =>
  text === undefined || text === "" || text.toLowerCase() === "all";

async function queueStats(session: Session, args: readonly string[]): Promise<void> {
  const [target = "", portText = "", queueText = ""] = args;
  const vconn = await session.open(target);
  const port = isAll(portText) ? PORTS.ANY : await portOf(session, target, portText);
  const queue = isAll(queueText) ? QUEUE_ALL : loose(queueText);
  await session.dump(vconn, target, { type: "queue_stats_request", port, queue });
  vconn.client.close();
}

async function queueGetConfig(session: Session, args: readonly string[]): Promise<void> {
  const [target = "", portText = "any", queueText = "all"] = args;
  const port = await portOf(session, target, portText);
  const queue = isAll(queueText) ? QUEUE_ALL : loose(queueText);
  const vconn = await session.open(target);
  const request = (of: number): OfMessage => ({
    type: "queue_get_config_request",
    port: of,
    queue,
  });
  if (port !== PORTS.ANY || vconn.client.version > OF10) {
    await session.dump(vconn, target, request(port));
  } else {
    // OpenFlow 1.0 asks for one port at a time.
    for (const { port: each } of await fetchPorts(vconn.client)) {
      if (each < PORTS.MAX) await session.dump(vconn, target, request(each));
    }
  }
  vconn.client.close();
}

const PORT_FLAGS: readonly (readonly [string, number, boolean])[] = [
  ["up", PORT_CONFIG.PORT_DOWN, false],
  ["down", PORT_CONFIG.PORT_DOWN, true],
  ["stp", PORT_CONFIG.NO_STP, false],
  ["receive", PORT_CONFIG.NO_RECV, false],
  ["receive-stp", PORT_CONFIG.NO_RECV_STP, false],
  ["flood", PORT_CONFIG.NO_FLOOD, false],
  ["forward", PORT_CONFIG.NO_FWD, false],
  ["packet-in", PORT_CONFIG.NO_PACKET_IN, false],
];

async function findPort(session: Session, target: string, text: string): Promise<PortDescription> {
  const number = /^\s*\+?\d+$/.test(text) ? Number(text) & 0xffff : undefined;
  const { client } = await session.open(target);
  const ports = await session.guard(client, () => fetchPorts(client));
  client.close();
  const found = ports.find(({ port, name }) =>
    number === undefined ? name === text : port === number
  );
  if (!found) throw new Fatal(`${target}: couldn't find port \`${text}'`);
  return found;
}

async function modPort(session: Session, args: readonly string[]): Promise<void> {
  const [target = "", portText = "", action = ""] = args;
  const { port, hwAddr } = await findPort(session, target, portText);
  const parts = /^(no-?)?(.*)$/is.exec(action)!;
  const flag = PORT_FLAGS.find(([name]) => name === parts[2]!.toLowerCase());
  if (!flag) throw new Fatal(`unknown mod-port command '${action}'`);
  const [, mask, on] = flag;
  const config = on !== (parts[1] !== undefined) ? mask : 0;
  const vconn = await session.open(target);
  await session.transact(vconn, target, [
    { type: "port_mod", port, hwAddr, config, mask, advertise: 0 },
  ]);
  vconn.client.close();
}

export async function fetchConfig(session: Session, vconn: Vconn): Promise<SwitchConfig> {
  const what = `${vconn.client.name}: bad reply to config request`;
  const [reply] = await session.ask(
    vconn,
    { type: "get_config_request" },
    "get_config_reply",
    what,
  );
  return reply!.message;
}

export const setConfig = async (
  session: Session,
  vconn: Vconn,
  target: string,
  config: SwitchConfig,
): Promise<void> => await session.transact(vconn, target, [{ ...config, type: "set_config" }]);

async function getFrags(session: Session, [target = ""]: readonly string[]): Promise<void> {
  const vconn = await session.open(target);
  session.print(`${(await fetchConfig(session, vconn)).fragments}\n`);
  vconn.client.close();
}

const FRAGMENTS: readonly SwitchConfig["fragments"][] = [
  "normal",
  "drop",
  "reassemble",
  "nx-match",
];

async function setFrags(session: Session, [target = "", mode = ""]: readonly string[]) {
  const fragments = FRAGMENTS.find((name) => name === mode.toLowerCase());
  if (!fragments) throw new Fatal(`${mode}: unknown fragment handling mode`);
  const vconn = await session.open(target);
  const config = await fetchConfig(session, vconn);
  if (config.fragments !== fragments) {
    await setConfig(session, vconn, target, { ...config, fragments });
    if ((await fetchConfig(session, vconn)).fragments !== fragments) {
      throw new Fatal(
        `${target}: setting fragment handling mode failed (this switch probably doesn't ` +
          `support mode "${fragments}")`,
      );
    }
  }
  vconn.client.close();
}

async function modTable(session: Session, args: readonly string[]): Promise<void> {
  const [target = "", tableText = "", setting = ""] = args;
  const parsed = await session.parse(
    target,
    (names) => parseTableMod(tableText, setting, names),
  );
  if ((session.options.versions & parsed.versions) === 0) {
    throw new Fatal(
      `table_mod '${setting}' requires one of the OpenFlow versions ` +
        formatVersions(parsed.versions),
    );
  }
  const vconn = await session.open(target, parsed.versions);
  const { message, name } = parsed;
  if (name !== undefined) await renameTable(session, vconn, message.table, name);
  else if (vconn.client.version < OF14) await session.transact(vconn, target, [message]);
  else {
    const tables = message.table === 0xff ? Array.from({ length: 255 }, (_, i) => i) : [
      message.table,
    ];
    const known = await tableDescs(session, vconn);
    const mods = tables.map((table) => complete({ ...message, table }, known.get(table)));
    await session.transact(vconn, target, mods);
  }
  vconn.client.close();
}

async function tableDescs(session: Session, vconn: Vconn): Promise<Map<number, TableDesc>> {
  const parts = await session.ask(vconn, { type: "table_desc_request" }, "table_desc_reply");
  return new Map(parts.flatMap(({ message }) => message.tables.map((desc) => [desc.table, desc])));
}

/** A table-mod says everything: what is not to be changed is said as it is. */
function complete(message: TableMod, desc: TableDesc | undefined): TableMod {
  if (!desc) return message;
  if (message.eviction !== undefined) {
    const { vacancy } = desc;
    return {
      ...message,
      vacancyEvents: vacancy !== undefined,
      ...(vacancy ? { vacancyDown: vacancy.down, vacancyUp: vacancy.up } : {}),
    };
  }
  const { eviction, evictionFlags } = desc;
  return { ...message, eviction, ...(evictionFlags === undefined ? {} : { evictionFlags }) };
}

/** Before OpenFlow 1.5, whoever changes one table's features says those of all. */
async function renameTable(
  session: Session,
  vconn: Vconn,
  table: number,
  name: string,
): Promise<void> {
  const request: MessageOf<"table_features_request"> = {
    type: "table_features_request",
    tables: [],
  };
  const parts = await session.ask(vconn, request, "table_features_reply");
  const all = parts.flatMap(({ message }) => message.tables);
  const found = all.find((features) => features.table === table);
  if (!found) throw new Fatal(`switch does not have table ${table}`);
  const renamed = { ...found, name: name.slice(0, 31) };
  const { client } = vconn;
  const tables = client.version >= OF15
    ? [{ ...renamed, command: "modify" as const, hasProperties: false }]
    : all.map((features) => features.table === table ? renamed : features);
  await session.guard(client, async () => {
    const xid = client.nextXid();
    for (const bytes of session.encodeParts(vconn, xid, { ...request, tables })) {
      client.write(bytes);
    }
    for (;;) {
      const bytes = await client.reply(xid);
      const identity = identify(bytes);
      if (identity.name === "error") {
        toStderr(formatMessage(bytes, { verbosity: session.options.verbosity + 1 }));
        throw new Exit(1);
      }
      if (!identity.more) return;
    }
  });
}

async function probe(session: Session, [target = ""]: readonly string[]): Promise<void> {
  const { client } = await session.open(target);
  const reply = await session.guard(client, async () => {
    return await client.reply(client.send({ type: "echo_request", data: new Uint8Array(0) }));
  }, `talking to ${target}`);
  if (reply.length !== 8) throw new Fatal("reply does not match request");
  client.close();
}

const MOST_PAYLOAD = 65535 - 8;

function payloadOf(text: string): number {
  const payload = loose(text);
  if (payload > MOST_PAYLOAD) {
    throw new Fatal(`payload must be between 0 and ${MOST_PAYLOAD} bytes`);
  }
  return payload;
}

async function ping(session: Session, [target = "", sizeText = "64"]: readonly string[]) {
  const payload = payloadOf(sizeText);
  const { client } = await session.open(target);
  for (let i = 0; i < 10; i++) {
    const data = crypto.getRandomValues(new Uint8Array(payload));
    const xid = client.nextXid();
    const request = encode(client.version, xid, { type: "echo_request", data });
    const start = performance.now();
    client.write(request);
    const reply = await session.guard(client, () => client.reply(xid), "transact");
    const elapsed = performance.now() - start;
    const matches = identify(reply).name === "echo_reply" && reply.length === request.length &&
      data.every((byte, at) => reply[8 + at] === byte);
    if (!matches) {
      const verbosity = session.options.verbosity + 2;
      session.print(
        `Reply does not match request.  Request:\n${formatMessage(request, { verbosity })}` +
          `Reply:\n${formatMessage(reply, { verbosity })}`,
      );
    }
    session.print(
      `${reply.length - 8} bytes from ${target}: xid=${xid.toString(16).padStart(8, "0")} ` +
        `time=${elapsed.toFixed(1)} ms\n`,
    );
  }
  client.close();
}

async function benchmark(session: Session, args: readonly string[]): Promise<void> {
  const [target = "", sizeText = "", countText = ""] = args;
  const payload = payloadOf(sizeText);
  const count = loose(countText);
  const size = payload + 8;
  session.print(
    `Sending ${count} packets * ${size} bytes (with header) = ${count * size} bytes total\n`,
  );
  const { client } = await session.open(target);
  const data = new Uint8Array(payload);
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    await session.guard(
      client,
      async () => await client.reply(client.send({ type: "echo_request", data })),
      "transact",
    );
  }
  const elapsed = performance.now() - start;
  client.close();
  const perSecond = (amount: number): string => (amount / (elapsed / 1000)).toFixed(0);
  session.print(
    `Finished in ${elapsed.toFixed(1)} ms (${perSecond(count)} packets/s) ` +
      `(${perSecond(count * size)} bytes/s)\n`,
  );
}

export const switchCommands = [
  command("show", "switch", [1, 1], "ro", show),
  command("dump-desc", "switch", [1, 1], "ro", trivial("desc_request")),
  command("dump-tables", "switch", [1, 1], "ro", trivial("table_stats_request")),
  command("dump-table-features", "switch", [1, 1], "ro", dumpTableFeatures),
  command("dump-table-desc", "switch", [1, 1], "ro", dumpTableDesc),
  command("queue-stats", "switch [port [queue]]", [1, 3], "ro", queueStats),
  command("queue-get-config", "switch [port [queue]]", [1, 3], "ro", queueGetConfig),
  command("dump-ports", "switch [port]", [1, 2], "ro", dumpPorts("port_stats_request")),
  command("dump-ports-desc", "switch [port]", [1, 2], "ro", dumpPorts("port_desc_request")),
  command("mod-port", "switch iface act", [3, 3], "rw", modPort),
  command("mod-table", "switch mod", [3, 3], "rw", modTable),
  command("get-frags", "switch", [1, 1], "ro", getFrags),
  command("set-frags", "switch frag_mode", [2, 2], "rw", setFrags),
  command("probe", "target", [1, 1], "ro", probe),
  command("ping", "target [n]", [1, 2], "ro", ping),
  command("benchmark", "target n count", [3, 3], "ro", benchmark),
  command("dump-ipfix-bridge", "switch", [1, 1], "ro", trivial("ipfix_bridge_request")),
  command("dump-ipfix-flow", "switch", [1, 1], "ro", trivial("ipfix_flow_request")),
  command("dump-tlv-map", "switch", [1, 1], "ro", trivial("tlv_table_request")),
];
