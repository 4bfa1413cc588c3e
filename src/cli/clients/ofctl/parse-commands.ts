/**
 * Commands that need no switch: they show how texts and bytes are understood. Most are for tests, and
 * not in the list of commands.
 */
import { readFileSync } from "node:fs";
import { encode } from "../../../openflow/codec.ts";
import { definedNumbers, isErrorName, OfError } from "../../../openflow/errors.ts";
import { formatActions } from "../../../openflow/text/actions-format.ts";
import { readActions, writeActions } from "../../../openflow/actions/codec.ts";
import { readInstructions, writeInstructions } from "../../../openflow/actions/instructions.ts";
import { checkActions } from "../../../openflow/actions/check.ts";
import type { ParsedFlow } from "../../../openflow/text/flow.ts";
import { plainHexDump } from "../../../openflow/text/hex-dump.ts";
import { formatMatch } from "../../../openflow/text/match.ts";
import { formatMessage } from "../../../openflow/text/message.ts";
import { normalizedMatch } from "../../../openflow/text/normalize.ts";
import { parseGroup } from "../../../openflow/text/group-parse.ts";
import {
  eachProtocol,
  formatProtocols,
  parseVersion,
  protocolName,
  type Protocols,
  versionOfProtocol,
} from "../../../openflow/text/protocols.ts";
import { keyValues } from "../../../openflow/text/scan.ts";
import { formatWireMatch, parseWireMatch } from "../../../openflow/text/wire-match.ts";
import {
  readMatch,
  readMatch10,
  readNxMatch,
  readWholeMatch10,
  writeMatch,
  writeMatch10,
  writeNxMatch,
} from "../../../openflow/match.ts";
import { readOxmFields, writeOxmFields } from "../../../openflow/oxm.ts";
import {
  isOfVersion,
  OF10,
  OF11,
  OF12,
  OF15,
  type OfVersion,
  VERSION_NAMES,
} from "../../../openflow/version.ts";
import { LearnedTunnelFields } from "../../../openflow/tunnel-fields.ts";
import { fieldIsFull } from "../../../openflow/field-bits.ts";
import { Reader, Writer } from "../../../openflow/wire.ts";
import { anyMatch, type Match } from "../../../packet/key.ts";
import { type Field, FIELDS } from "../../../packet/layout.ts";
import { TextError } from "../../../packet/text.ts";
import { Fatal } from "../fatal.ts";
import { command, MANY } from "./command.ts";
import { flowModFor, parseAndTell } from "./flow-commands.ts";
import { groupModFor } from "./group-commands.ts";
import { parseLines, readText, significantLines } from "./parsing.ts";
import type { Session } from "./session.ts";

const stdin = (): string => readFileSync(0, "utf8");

/** Hex digits in pairs, blanks between; what follows them is an error. */
function bytesOfHex(text: string, complaint: string): Uint8Array {
  const compact = text.replace(/\s+/g, "");
  if (!/^([0-9a-fA-F]{2})*$/.test(compact)) throw new Fatal(complaint);
  return Uint8Array.from(compact.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Prints the first of `usable` that is allowed; returns it. */
function choose(session: Session, usable: Protocols): Protocols {
  session.print(`usable protocols: ${formatProtocols(usable)}\n`);
  const [protocol] = eachProtocol(usable & session.options.protocols);
  if (protocol === undefined) throw new Fatal("no usable protocol");
  return protocol;
}

function printFlows(session: Session, flows: readonly ParsedFlow[], usable: Protocols): void {
  const protocol = choose(session, usable);
  session.print(`chosen protocol: ${protocolName(protocol)}\n`);
  const dialect = { client: { version: versionOfProtocol(protocol) }, protocol };
  for (const [i, { message }] of flows.entries()) {
    const bytes = session.encode(dialect, i + 1, flowModFor(message, dialect));
    session.print(formatMessage(bytes, { verbosity: session.options.verbosity }));
  }
}

async function parseFlow(session: Session, [text = ""]: readonly string[]): Promise<void> {
  const flow = await session.parse(
    "",
    (names) => parseAndTell(session, text, { command: "add", names }),
    true,
  );
  printFlows(session, [flow], flow.protocols);
}

async function parseFlows(session: Session, [path = ""]: readonly string[]): Promise<void> {
  const text = readText(path);
  const flows = await session.parse(
    "",
    (names) =>
      parseLines(path, text, (line) => parseAndTell(session, line, { command: "add", names })),
    true,
  );
  const usable = flows.reduce((set, { protocols }) => set & protocols, 0x1ff);
  printFlows(session, flows, usable);
}

async function parseGroupText(session: Session, [text = ""]: readonly string[]): Promise<void> {
  const group = await session.parse("", () => parseGroup(text, { command: "add" }), true);
  const version = versionOfProtocol(choose(session, group.protocols));
  session.print(`chosen version: ${VERSION_NAMES[version]}\n`);
  const bytes = encode(version, 1, groupModFor(group.message, version));
  session.print(formatMessage(bytes, { verbosity: session.options.verbosity }));
}

/** Lines of a test: comments are shown again, empty lines too. */
function* testLines(session: Session, text: string): Generator<string> {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const line of lines) {
    const text = line.replace(/#.*/, "").trim();
    if (line.startsWith("#")) session.print(`${line}\n`);
    else if (text === "") session.print("\n");
    else yield text;
  }
}

/**
 * Of these Open vSwitch 3.1 matches only the bits that are ones, also where all are asked for. Here all
 * are matched, and only this command, which shows Open vSwitch's reading, says otherwise.
 */
const BITWISE = [FIELDS.tun_erspan_ver, FIELDS.tun_erspan_dir, FIELDS.tun_erspan_hwid];

const bitwiseMask = ({ key, mask }: Match, field: Field): bigint =>
  fieldIsFull(mask, field) ? key.getBig(field) : mask.getBig(field);

/** OXM for a version, or NXM for none: to a match and back. */
function rewriteMatches(session: Session, version: OfVersion | 0): void {
  for (const line of testLines(session, stdin())) {
    const entries = asFatal(() => parseWireMatch(line));
    try {
      const loose = !session.options.strict;
      const reader = new Reader(entries, "OFPBMC_BAD_LEN");
      const { match, cookie, cookieMask } = readOxmFields(reader, {
        loose,
        cookie: version === 0,
      });
      for (const field of BITWISE) match.mask.setBig(field, bitwiseMask(match, field));
      const writer = new Writer();
      writeOxmFields(writer, version, match, cookie, cookieMask);
      const out = writer.finish();
      session.print(`${formatWireMatch(out)}\n`);
      if (session.options.verbosity > 0) {
        session.print(plainHexDump(wholeMatch(out, version)));
      }
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      session.tell(error);
      session.print(`nx_pull_match() returned error ${error.error}\n`);
    }
  }
}

const MATCH_OXM = 1;

/** With the header that OXM has, and padding. */
function wholeMatch(entries: Uint8Array, version: OfVersion | 0): Uint8Array {
  const writer = new Writer();
  if (version !== 0) writer.u16(MATCH_OXM).u16(4 + entries.length);
  writer.put(entries);
  writer.pad8(0);
  return writer.finish();
}

const asFatal = <T>(parse: () => T): T => {
  try {
    return parse();
  } catch (error) {
    if (error instanceof TextError) throw new Fatal(error.message);
    throw error;
  }
};

function parseOxm(session: Session, [text = ""]: readonly string[]): void {
  const version = parseVersion(text);
  if (version === undefined || version < OF12) {
    throw new Fatal(`${text}: not a valid version for OXM`);
  }
  rewriteMatches(session, version);
}

const byte = (value: number): string => value.toString(16).padStart(2, "0");

/** Where two byte strings differ. */
function differences(prefix: string, a: Uint8Array, b: Uint8Array): string {
  let text = "";
  const at = (i: number): string => `${prefix}${String(i).padStart(2)}`;
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [x, y] = [a[i], b[i]];
    if (x === y) continue;
    const told = (value: number | undefined): string =>
      value === undefined ? "(none)" : byte(value);
    text += `${at(i)}: ${told(x)} -> ${told(y)}\n`;
  }
  return text;
}

const rewriteActions =
  (instructions: boolean) => (session: Session, [name = ""]: readonly string[]): Promise<void> => {
    const version = parseVersion(name);
    if (version === undefined) throw new Fatal(`${name}: not a valid OpenFlow version`);
    for (const [line] of significantLines(stdin())) {
      const comma = line.indexOf(",");
      const table = comma < 0 ? 0 : parseInt(line.slice(0, comma), 10) || 0;
      const input = bytesOfHex(line.slice(comma + 1), "Trailing garbage in hex data");
      try {
        const reader = new Reader(input, "OFPBAC_BAD_LEN");
        reader.tunnelFields = new LearnedTunnelFields();
        const context = { version, flowModTableId: false, loose: false, bytes: input };
        const actions = instructions
          ? readInstructions(reader, context.version)
          : readActions(reader, version);
        if (instructions) {
          checkActions(actions, anyMatch(), { table, tables: 256, lenient: version === OF10 });
        }
        session.print(`actions=${formatActions(actions)}\n`);
        const writer = new Writer();
        writer.tunnelFields = reader.tunnelFields;
        if (instructions) writeInstructions(writer, version, actions);
        else writeActions(writer, version, actions);
        session.print(`${differences("", input, writer.finish())}\n`);
      } catch (error) {
        if (!(error instanceof OfError)) throw error;
        session.tell(error);
        const what = instructions ? "instructions" : "actions";
        session.print(`bad ${name} ${what}: ${error.error}\n\n`);
      }
    }
    return Promise.resolve();
  };

const MATCH10_BYTES = 40;
const MATCH11_BYTES = 88;

function writeTen(match: Match): Uint8Array {
  const writer = new Writer();
  writeMatch10(writer, match);
  return writer.finish();
}

function parseMatch10(session: Session): void {
  for (const [line] of significantLines(stdin())) {
    const size = (bytes: Uint8Array): Uint8Array => {
      if (bytes.length === MATCH10_BYTES) return bytes;
      throw new Fatal(`Input is ${bytes.length} bytes, expected ${MATCH10_BYTES}`);
    };
    const complaint = "Trailing garbage in hex data";
    const expected = size(bytesOfHex(line.replaceAll("x", "0"), complaint));
    // Bits that do not matter are anything, to show that they do not.
    const any = (): string => "0123456789abcdef"[Math.floor(Math.random() * 16)]!;
    const input = size(bytesOfHex(line.replaceAll("x", any), complaint));
    const match = readWholeMatch10(new Reader(input, "OFPBMC_BAD_LEN"));
    const out = writeTen(match);
    session.print(`${formatMatch(match)}\n${differences("", expected, out)}`);
    session.tellNormalization(match);
    const normal = normalizedMatch(match);
    session.print(`${normal ? differences("normal: ", out, writeTen(normal)) : ""}\n`);
  }
}

function parseMatch11(session: Session): void {
  for (const [line] of significantLines(stdin())) {
    const input = bytesOfHex(line, "Trailing garbage in hex data");
    if (input.length !== MATCH11_BYTES) {
      throw new Fatal(`Input is ${input.length} bytes, expected ${MATCH11_BYTES}`);
    }
    try {
      const match = readMatch(new Reader(input, "OFPBMC_BAD_LEN"), OF11);
      const writer = new Writer();
      writeMatch(writer, OF11, match);
      session.print(`${formatMatch(match)}\n${differences("", input, writer.finish())}\n`);
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      session.tell(error);
      session.print(`bad ofp11_match: ${error.error}\n\n`);
    }
  }
}

const hex4 = (value: number): string => value.toString(16).padStart(4, "0");

/** One VLAN match through every form that there is. */
async function checkVlan(session: Session, [tciText = "", maskText = ""]: readonly string[]) {
  const match = anyMatch();
  match.key.set(FIELDS.vlan_tci, parseInt(tciText, 16) & 0xffff);
  match.mask.set(FIELDS.vlan_tci, parseInt(maskText, 16) & 0xffff);
  const show = ({ key, mask }: Match): string =>
    `${hex4(key.get(FIELDS.vlan_tci))}/${hex4(mask.get(FIELDS.vlan_tci))}`;
  const text = formatMatch(match);
  const { message } = await session.parse(
    "",
    () => parseAndTell(session, text, { command: "delete" }),
    true,
  );
  session.print(`${text} -> ${show(message.match)}\n`);
  const nxm = new Writer();
  const nxmLength = writeNxMatch(nxm, match);
  const nxmBytes = nxm.finish();
  const back = readNxMatch(new Reader(nxmBytes, "OFPBMC_BAD_LEN"), nxmLength).match;
  session.print(`NXM: ${formatWireMatch(nxmBytes.subarray(0, nxmLength))} -> ${show(back)}\n`);
  session.print(`OXM: ${oxmVlan(match)}\n`);
  const ten = writeTen(match);
  const ten2 = readMatch10(new Reader(ten, "OFPBMC_BAD_LEN"));
  const wild10 = (bit: number): number => (new DataView(ten.buffer).getUint32(0) >>> bit) & 1;
  session.print(
    `OF1.0: ${hex4((ten[18]! << 8) | ten[19]!)}/${wild10(1)},${byte(ten[20]!)}/${wild10(20)} -> ` +
      `${show(ten2)}\n`,
  );
  const writer = new Writer();
  writeMatch(writer, OF11, match);
  const eleven = writer.finish();
  const eleven2 = readMatch(new Reader(eleven, "OFPBMC_BAD_LEN"), OF11);
  const wild11 = (bit: number): number => (eleven[11]! >> bit) & 1;
  session.print(
    `OF1.1: ${hex4((eleven[36]! << 8) | eleven[37]!)}/${wild11(1)},` +
      `${byte(eleven[38]!)}/${wild11(2)} -> ${show(eleven2)}\n`,
  );
}

function oxmVlan(match: Match): string {
  const writer = new Writer();
  writeOxmFields(writer, OF12, match);
  const bytes = writer.finish();
  const { key, mask } = readOxmFields(new Reader(bytes, "OFPBMC_BAD_LEN")).match;
  const [tci, tciMask] = [key.get(FIELDS.vlan_tci), mask.get(FIELDS.vlan_tci)];
  const pcp = (tci & 0x1fff) !== 0 && tciMask >> 13 !== 0
    ? String(tci >> 13).padStart(2, "0")
    : "--";
  return `${formatWireMatch(bytes)} -> ${hex4(tci & 0x1fff)}/${hex4(tciMask & 0x1fff)},${pcp}`;
}

function printError(session: Session, [name = ""]: readonly string[]): void {
  if (!isErrorName(name)) throw new Fatal(`unknown error "${name}"`);
  for (let version: OfVersion = OF10; version <= OF15; version++) {
    const numbers = definedNumbers(name, version as OfVersion);
    if (!numbers) continue;
    const { vendor, type, code } = numbers;
    const minor = version - 1;
    const shown = vendor === 0 ? "0" : `0x${vendor.toString(16)}`;
    session.print(`OpenFlow 1.${minor}: vendor ${shown}, type ${type}, code ${code}\n`);
  }
}

function encodeError(session: Session, [name = "", request = ""]: readonly string[]): void {
  if (!isErrorName(name)) throw new Fatal(`unknown error "${name}"`);
  const bytes = bytesOfHex(request, "Trailing garbage in hex data");
  if (bytes.length < 8) throw new Fatal("Request too short");
  if (((bytes[2]! << 8) | bytes[3]!) !== bytes.length) {
    throw new Fatal("Request size inconsistent");
  }
  const known = isOfVersion(bytes[0]!);
  const version = known ? bytes[0] as OfVersion : OF10;
  const tell = (what: string): void =>
    session.log.log("ofp_errors", "err", `cannot encode ${what}`);
  if (!known) tell(`error for unknown OpenFlow version 0x${byte(bytes[0]!)}`);
  if (!definedNumbers(name, version)) tell(`${name} for OpenFlow 1.${version - 1}`);
  const xid = new DataView(bytes.buffer).getUint32(4);
  const data = bytes.slice(0, 64);
  session.print(plainHexDump(encode(version, xid, { type: "error", error: name, data })));
}

function ofpPrint(session: Session, [source = "", verbosityText]: readonly string[]): void {
  const verbosity = verbosityText === undefined ? 2 : parseInt(verbosityText, 10) || 0;
  const log = session.messageLog;
  if (source === "-" && session.options.raw) {
    session.print(formatMessage(new Uint8Array(readFileSync(0)), { verbosity, log }));
    return;
  }
  const text = source === "-" ? stdin().split("\n")[0]! : source;
  const bytes = bytesOfHex(text, "trailing garbage following hex bytes");
  session.print(formatMessage(bytes, { verbosity, log }));
}

function ofpParse(session: Session, [path = ""]: readonly string[]): void {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(readFileSync(path === "-" ? 0 : path));
  } catch {
    readText(path, (why) => `${path}: open (${why})`);
    return;
  }
  const middle = (): never => {
    throw new Fatal(`${path}: unexpected end of file mid-message`);
  };
  for (let at = 0; at < bytes.length;) {
    if (bytes.length - at < 8) middle();
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    if (length < 8) {
      throw new Fatal(`${path}: ${length}-byte message is too short for OpenFlow`);
    }
    if (bytes.length - at < length) middle();
    const verbosity = session.options.verbosity + 2;
    session.print(formatMessage(bytes.slice(at, at + length), { verbosity }));
    at += length;
  }
}

function encodeHello(session: Session, [text = ""]: readonly string[]): void {
  const versions = Number(text) >>> 0;
  const bytes = encode(OF10, 1, { type: "hello", versions });
  session.print(plainHexDump(bytes));
  session.print(formatMessage(bytes, { verbosity: session.options.verbosity }));
}

function parseKeyValue(session: Session, args: readonly string[]): void {
  for (const arg of args) {
    const parts = [...keyValues(arg)].map(({ key, value }) =>
      value === "" ? key : `${key}=${value}`
    );
    session.print(`${parts.join(", ")}\n`);
  }
}

type Plain = (session: Session, args: readonly string[]) => void | Promise<void>;
const now = (run: Plain) => async (session: Session, args: readonly string[]): Promise<void> => {
  await run(session, args);
};

export const parseCommands = [
  command("ofp-parse", "file", [1, 1], "rw", now(ofpParse)),
  command("parse-flow", undefined, [1, 1], "rw", parseFlow),
  command("parse-flows", undefined, [1, 1], "rw", parseFlows),
  command("parse-group", undefined, [1, 1], "rw", parseGroupText),
  command("parse-nx-match", undefined, [0, 0], "rw", now((session) => rewriteMatches(session, 0))),
  command("parse-nxm", undefined, [0, 0], "rw", now((session) => rewriteMatches(session, 0))),
  command("parse-oxm", undefined, [1, 1], "rw", now(parseOxm)),
  command("parse-actions", undefined, [1, 1], "rw", rewriteActions(false)),
  command("parse-instructions", undefined, [1, 1], "rw", rewriteActions(true)),
  command("parse-ofp10-match", undefined, [0, 0], "rw", now(parseMatch10)),
  command("parse-ofp11-match", undefined, [0, 0], "rw", now(parseMatch11)),
  command("check-vlan", undefined, [2, 2], "rw", checkVlan),
  command("print-error", undefined, [1, 1], "rw", now(printError)),
  command("encode-error-reply", undefined, [2, 2], "rw", now(encodeError)),
  command("ofp-print", undefined, [1, 2], "rw", now(ofpPrint)),
  command("encode-hello", undefined, [1, 1], "rw", now(encodeHello)),
  command("parse-key-value", undefined, [1, MANY], "rw", now(parseKeyValue)),
];
