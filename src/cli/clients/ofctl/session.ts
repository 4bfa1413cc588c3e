/**
 * What the commands of `ofctl` share: connections to switches in a version that suits, the names of
 * their ports and tables, requests and their answers.
 */
import { isatty } from "node:tty";
import { join } from "node:path";
import { Tls } from "../../../db/tls/tls.ts";
import { decode, encode, encodeMany, identify } from "../../../openflow/codec.ts";
import { OfError } from "../../../openflow/errors.ts";
import type {
  Decoded,
  MessageOf,
  MessageType,
  OfMessage,
} from "../../../openflow/messages/types.ts";
import { FlowListText } from "../../../openflow/text/flow-list.ts";
import { formatMatch } from "../../../openflow/text/match.ts";
import { normalizedMatch } from "../../../openflow/text/normalize.ts";
import { formatMessage, type MessageTextOptions } from "../../../openflow/text/message.ts";
import type { TextNames } from "../../../openflow/text/names.ts";
import {
  eachProtocol,
  formatProtocols,
  formatVersions,
  protocolOfVersion,
  PROTOCOLS,
  type Protocols,
  protocolsOfVersions,
  versionsOfProtocols,
} from "../../../openflow/text/protocols.ts";
import { LearnedTunnelFields } from "../../../openflow/tunnel-fields.ts";
import { OF10, OF14, type OfVersion, VERSION_NAMES } from "../../../openflow/version.ts";
import { type ActiveTarget, isPassive, parseTarget } from "../../../slowpath/control/targets.ts";
import {
  type ClientOptions,
  OpenFlowClient,
  OpenFlowClientError,
  VersionMismatch,
  xidOf,
} from "../../openflow-client.ts";
import type { ClientLog } from "../client-log.ts";
import { runDir } from "../connect.ts";
import { errnoText, Exit, Fatal } from "../fatal.ts";
import { toStderr, toStdout } from "../output.ts";
import { emptyNames, fetchNames, type Unnamed } from "./names.ts";
import type { Match } from "../../../packet/key.ts";
import type { OfctlOptions } from "./options.ts";
import { retryingNames } from "./parsing.ts";

/** That a match was normalized is told so often, and no more. */
const MOST_NORMALIZATIONS = 5;

/** As Open vSwitch's tools limit it, which nobody runs for minutes to see more. */
const MOST_REMARKS = 5;

/** How messages are said. */
export interface Dialect {
  readonly client: { readonly version: OfVersion };
  readonly protocol: Protocols;
}

/** A connection, and how flows are said on it. */
export interface Vconn extends Dialect {
  readonly client: OpenFlowClient;
  protocol: Protocols;
}

export class Session {
  private readonly names = new Map<string, TextNames>();
  private readonly clients: OpenFlowClient[] = [];
  private normalizations = 0;
  private readonly remarks = new Map<string, number>();
  private readonly told = new Set<string>();
  readonly tls: Tls;
  /** So that flows of several messages, or of a file, can be compared. */
  readonly tunnelFields = new LearnedTunnelFields();
  private readonly unnamed: Unnamed = {
    tunnelFields: this.tunnelFields,
    odd: (text) => this.tellOnce(text),
  };
  readonly noNames: TextNames = emptyNames(this.unnamed);

  constructor(readonly options: OfctlOptions, readonly log: ClientLog) {
    this.tls = new Tls(() => options.tls, log.logger("stream_ssl"));
  }

  /** Where what is odd about messages is told. */
  readonly messageLog: NonNullable<MessageTextOptions["log"]> = (module, text) =>
    this.log.log(module, module === "ofp_match" ? "info" : "warn", text);

  /** Tells what is odd about what could not be read; of each module five lines. */
  tell({ remarks }: OfError): void {
    for (const { module, text, unlimited } of remarks) {
      const said = this.remarks.get(module) ?? 0;
      if (!unlimited && said >= MOST_REMARKS) continue;
      if (!unlimited) this.remarks.set(module, said + 1);
      this.log.log(module, "warn", text());
    }
  }

  /** What is odd about ports in texts; a text may be read twice. */
  private tellOnce(text: string): void {
    if (this.told.has(text)) return;
    this.told.add(text);
    this.log.log("ofp_port", "warn", text);
  }

  /** Ends all connections: what failed may have left some. */
  close(): void {
    for (const client of this.clients) client.close();
  }

  print(text: string): void {
    toStdout(text);
  }

  /** Reads with the names that the switch has for ports and tables, should the text have any. */
  async parse<T>(
    target: string,
    read: (names: TextNames) => T,
    offline = false,
  ): Promise<T> {
    const accepts = this.options.names !== false && !offline;
    return await retryingNames(
      (names) => this.settle(() => read(names)),
      this.noNames,
      accepts ? () => this.namesOf(target) : undefined,
      (error) => this.tell(error),
    );
  }

  /** A tunnel option of a text may be longer than those before it showed: then all is read again. */
  private settle<T>(read: () => T): T {
    for (;;) {
      const { moves } = this.tunnelFields;
      const result = read();
      if (this.tunnelFields.moves === moves) return result;
    }
  }

  get showsNames(): boolean {
    return this.options.names ?? isatty(1);
  }

  /** The names to show, if they are to be shown. */
  async namesToShow(target: string): Promise<TextNames> {
    return this.showsNames ? await this.namesOf(target) : this.noNames;
  }

  /** Numbers and names of the switch's ports and tables; asked for once. */
  private async namesOf(target: string): Promise<TextNames> {
    const known = this.names.get(target);
    if (known) return known;
    const parsed = target.includes(":") ? parseTarget(target, runDir(process.env)) : undefined;
    // Nobody waits for a switch to call, only to ask it for names.
    if (parsed && (!parsed.ok || isPassive(parsed.target))) return this.noNames;
    const { client } = await this.open(target);
    const names = await fetchNames(client, this.unnamed);
    client.close();
    this.names.set(target, names);
    return names;
  }

  /** Connects in one of `versions` (bit N = wire version N). Throws `Fatal`. */
  async open(target: string, versions = this.options.versions, suffix = "mgmt"): Promise<Vconn> {
    const { findsVersion } = this.options;
    const wanted = versions & this.options.versions;
    const first = findsVersion && wanted & (1 << OF10) ? 1 << OF10 : wanted;
    try {
      return await this.openIn(target, first, suffix);
    } catch (error) {
      if (!(error instanceof VersionMismatch)) throw error;
      if (findsVersion && wanted !== first) {
        try {
          return await this.openIn(target, wanted, suffix);
        } catch (again) {
          if (!(again instanceof VersionMismatch)) throw again;
          throw this.mismatch(target, again);
        }
      }
      throw this.mismatch(target, error);
    }
  }

  private mismatch(target: string, { theirs }: VersionMismatch): Fatal {
    const known = formatVersions(theirs).split(", ").filter((name) => name !== "");
    const fix = known.length === 0
      ? "the switch speaks no version of OpenFlow that this program knows"
      : `the switch speaks ${known.join(", ")}: add "-O ${known.join(",")}"` +
        (this.options.findsVersion
          ? ""
          : `, or use "solovs ofctl", which finds the version itself`);
    return new Fatal(
      `${target}: failed to connect to socket (${errnoText("EPROTO")})\novs-ofctl: ${fix}`,
    );
  }

  private async openIn(target: string, versions: number, suffix: string): Promise<Vconn> {
    const options: ClientOptions = {
      versions,
      tls: this.tls,
      ...(suffix === "snoop" ? { anyVersion: true } : {}),
    };
    const client = await this.reach(target, suffix, options);
    this.clients.push(client);
    this.log.log("ofctl", "dbg", `connecting to ${client.name}`);
    return { client, protocol: protocolOfVersion(client.version) };
  }

  private async reach(
    target: string,
    suffix: string,
    options: ClientOptions,
  ): Promise<OpenFlowClient> {
    const failed = (error: OpenFlowClientError, what: string): Error => {
      if (error instanceof VersionMismatch) {
        this.logMismatch(target, error);
        return error;
      }
      return new Fatal(`${target}: failed to ${what} socket (${error.message})`);
    };
    const attempt = async (name: string, where: ActiveTarget): Promise<OpenFlowClient> =>
      await OpenFlowClient.connect(name, where, options);
    if (target.includes(":")) {
      const parsed = parseTarget(target, runDir(process.env));
      if (!parsed.ok || isPassive(parsed.target)) {
        throw new Fatal(`connecting to ${target} (${errnoText("EAFNOSUPPORT")})`);
      }
      try {
        return await attempt(target, parsed.target);
      } catch (error) {
        throw error instanceof OpenFlowClientError ? failed(error, "connect to") : error;
      }
    }
    const bridge = target.slice(target.indexOf("@") + 1);
    const directory = runDir(process.env);
    const places = [target, `${target}.${suffix}`, `${bridge}.${suffix}`].map((file) =>
      file.startsWith("/") ? file : join(directory, file)
    );
    for (const path of places) {
      try {
        return await attempt(`unix:${path}`, { kind: "unix", path });
      } catch (error) {
        if (!(error instanceof OpenFlowClientError)) throw error;
        if (error.code !== "ENOENT" && error.code !== "EISDIR") {
          throw failed(error, error.code === "EOF" ? "connect to" : "open");
        }
      }
    }
    throw new Fatal(`${target} is not a bridge or a socket`);
  }

  private logMismatch(target: string, { ours, theirs }: VersionMismatch): void {
    if (this.options.findsVersion) return;
    const list = (versions: number): string => {
      const numbers = Array.from({ length: 31 }, (_, bit) => bit)
        .filter((bit) => (versions >>> bit) & 1)
        .map((bit) => `0x${bit.toString(16).padStart(2, "0")}`);
      return `version${numbers.length === 1 ? "" : "s"} ${numbers.join(", ")}`;
    };
    this.log.log(
      "vconn",
      "warn",
      `${target}: version negotiation failed (we support ${list(ours)}, ` +
        `peer supports ${list(theirs)})`,
    );
  }

  /** Connects so that messages which `usable` can say may be sent. Throws `Fatal`. */
  async openFor(target: string, usable: Protocols): Promise<Vconn> {
    const { protocols } = this.options;
    if ((usable & protocols) === 0) {
      throw new Fatal(
        `none of the usable flow formats (${formatProtocols(usable)}) is among the ` +
          `allowed flow formats (${formatProtocols(protocols)})`,
      );
    }
    const versions = this.options.findsVersion ? versionsOfProtocols(usable) : undefined;
    const vconn = await this.open(target, versions);
    if (usable & protocols & vconn.protocol) return vconn;
    for (const protocol of eachProtocol(usable & protocols)) {
      if (await this.setProtocol(vconn, protocol)) return vconn;
    }
    throw new Fatal(
      `switch does not support any of the usable flow formats (${formatProtocols(usable)})`,
    );
  }

  /** On OpenFlow 1.0, asks for another way of saying flows; false if the switch will not. */
  async setProtocol(vconn: Vconn, want: Protocols): Promise<boolean> {
    const isNxm = (protocol: Protocols): boolean =>
      (protocol & (PROTOCOLS.NXM | PROTOCOLS.NXM_TID)) !== 0;
    const hasTid = (protocol: Protocols): boolean => (protocol & PROTOCOLS.TID) !== 0;
    const make = (nxm: boolean, tid: boolean): Protocols =>
      nxm ? (tid ? PROTOCOLS.NXM_TID : PROTOCOLS.NXM) : tid ? PROTOCOLS.STD_TID : PROTOCOLS.STD;
    if (vconn.protocol === want) return true;
    if (!(vconn.protocol & PROTOCOLS.OF10) || !(want & PROTOCOLS.OF10)) return false;
    if (isNxm(vconn.protocol) !== isNxm(want)) {
      const format = isNxm(want) ? "nxm" : "openflow10";
      if (await this.refused(vconn, { type: "set_flow_format", format })) return false;
      vconn.protocol = make(isNxm(want), hasTid(vconn.protocol));
    }
    if (hasTid(vconn.protocol) !== hasTid(want)) {
      const enabled = hasTid(want);
      if (await this.refused(vconn, { type: "flow_mod_table_id", enabled })) return false;
      vconn.protocol = want;
    }
    return true;
  }

  /** The error that a request without a reply brought, if it brought one. */
  async refused({ client }: Vconn, message: OfMessage): Promise<Uint8Array | undefined> {
    return await this.guard(client, async () => {
      const xid = client.send(message);
      const barrier = client.send({ type: "barrier_request" });
      return await firstError(client, new Set([xid]), barrier);
    });
  }

  /** Says `what` of failures of the connection while `work` runs. */
  async guard<T>(
    client: OpenFlowClient,
    work: () => Promise<T>,
    what = `talking to ${client.name}`,
  ): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof OpenFlowClientError) throw new Fatal(`${what} (${error.message})`);
      throw error;
    }
  }

  /**
   * Sends messages that have no reply but errors, and waits until the switch has taken them all. An
   * error is printed and ends the program. They go out in growing batches with a barrier after each,
   * so that little follows a message that fails and few barriers follow when none does.
   */
  async transact(vconn: Vconn, target: string, messages: Iterable<OfMessage>): Promise<void> {
    const { client } = vconn;
    await this.guard(client, async () => {
      let size = 1;
      let xids = new Set<number>();
      const flush = async (): Promise<void> => {
        if (xids.size === 0) return;
        const barrier = client.send({ type: "barrier_request" });
        const error = await firstError(client, xids, barrier);
        if (error) await this.fail(target, error);
        xids = new Set();
        size = Math.min(1024, size * 2);
      };
      for (const message of messages) {
        const xid = client.nextXid();
        client.write(this.encode(vconn, xid, message));
        xids.add(xid);
        if (xids.size >= size) await flush();
      }
      await flush();
    });
  }

  encode({ client, protocol }: Dialect, xid: number, message: OfMessage): Uint8Array {
    try {
      return encode(client.version, xid, message, false, {
        flowModTableId: (protocol & PROTOCOLS.TID) !== 0,
        tunnelFields: this.tunnelFields,
      });
    } catch (error) {
      if (error instanceof OfError) throw new Fatal(error.message);
      throw error;
    }
  }

  private async fail(target: string, error: Uint8Array): Promise<never> {
    const names = await this.namesToShow(target);
    toStderr(formatMessage(error, { verbosity: this.options.verbosity + 2, names }));
    throw new Exit(1);
  }

  /** Sends a request and prints what comes back, all parts of it. */
  async dump(vconn: Vconn, target: string, request: OfMessage): Promise<void> {
    const { client } = vconn;
    const names = await this.namesToShow(target);
    const verbosity = this.options.verbosity + 1;
    const flows = new FlowListText();
    await this.guard(client, async () => {
      const xid = client.nextXid();
      client.write(this.encode(vconn, xid, request));
      for (;;) {
        const bytes = await client.reply(xid);
        this.print(formatMessage(bytes, { verbosity, names, flows }));
        const identity = identify(bytes);
        if (identity.shape !== "reply" || !identity.more) return;
      }
    }, "OpenFlow packet receive failed");
  }

  /** Connects, asks, prints. */
  async dumpFrom(target: string, request: OfMessage, versions?: number): Promise<void> {
    const vconn = await this.open(target, versions);
    await this.dump(vconn, target, request);
    vconn.client.close();
  }

  /** All parts of the reply to `request`. Throws `Fatal` on anything else. */
  async ask<T extends MessageType>(
    vconn: Vconn,
    request: OfMessage,
    type: T,
    what?: string,
  ): Promise<(Decoded & { message: MessageOf<T> })[]> {
    const { client } = vconn;
    return await this.guard(client, async () => {
      const xid = client.nextXid();
      client.write(this.encode(vconn, xid, request));
      const parts: (Decoded & { message: MessageOf<T> })[] = [];
      for (;;) {
        const bytes = await client.reply(xid);
        const decoded = this.decode(bytes);
        if (decoded.message.type !== type) {
          const verbosity = this.options.verbosity + 1;
          throw new Fatal(what ?? `received bad reply: ${formatMessage(bytes, { verbosity })}`);
        }
        parts.push(decoded as Decoded & { message: MessageOf<T> });
        if (!decoded.more) return parts;
      }
    });
  }

  /** A reply of that type. Throws `Fatal` if it is something else. */
  decodeAs<T extends MessageType>(
    bytes: Uint8Array,
    type: T,
  ): Decoded & { message: MessageOf<T> } {
    const decoded = this.decode(bytes);
    if (decoded.message.type === type) return decoded as Decoded & { message: MessageOf<T> };
    const verbosity = this.options.verbosity + 1;
    throw new Fatal(`received bad reply: ${formatMessage(bytes, { verbosity })}`);
  }

  /** A request that may be too long for one message. */
  encodeParts({ client }: Vconn, xid: number, message: OfMessage): Uint8Array[] {
    return encodeMany(client.version, xid, message);
  }

  /** Bundles came with OpenFlow 1.3 as an extension, and with 1.4. */
  allowBundles(): void {
    const { options } = this;
    const with13 = versionsOfProtocols(PROTOCOLS.OF13_UP);
    if (options.versions & with13) return;
    options.versions = 1 << OF14;
    options.protocols = protocolsOfVersions(options.versions);
  }

  /** Parts of a match that mean nothing without others are told. */
  tellNormalization(match: Match): void {
    const normal = normalizedMatch(match);
    if (!normal || ++this.normalizations > MOST_NORMALIZATIONS) return;
    const tell = (text: string): void => this.log.log("ofp_match", "info", text);
    tell("normalization changed ofp_match, details:");
    tell(` pre: ${formatMatch(match, undefined, this.noNames)}`);
    tell(`post: ${formatMatch(normal, undefined, this.noNames)}`);
  }

  private decode(bytes: Uint8Array): Decoded {
    try {
      return decode(bytes, { loose: true, tunnelFields: this.tunnelFields });
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      throw new Fatal(`decode error: ${error.error}`);
    }
  }
}

const isError = (bytes: Uint8Array): boolean => bytes[1] === 1;

/** Waits for the barrier's reply; the first error about one of `xids` ends it. */
async function firstError(
  client: OpenFlowClient,
  xids: ReadonlySet<number>,
  barrier: number,
): Promise<Uint8Array | undefined> {
  let error: Uint8Array | undefined;
  for (;;) {
    const bytes = await client.receive();
    const xid = xidOf(bytes);
    if (xid === barrier) return error;
    if (!error && xids.has(xid) && isError(bytes)) error = bytes;
  }
}

export const versionsFrom = (version: OfVersion): number =>
  Object.keys(VERSION_NAMES).map(Number).filter((number) => number >= version)
    .reduce((bits, number) => bits | (1 << number), 0);
