/**
 * `monitor` and `snoop`: prints what a switch sends, until told to end. A control socket takes commands
 * meanwhile, and the program can go into the background (ovs-ofctl(8), "monitor").
 */
import { closeSync, openSync } from "node:fs";
import { decode, encode, identify } from "../../../openflow/codec.ts";
import { OfError } from "../../../openflow/errors.ts";
import type { FlowMonitorRequest, SetPacketInFormat } from "../../../openflow/messages/types.ts";
import { FLOW_MONITOR_FLAGS } from "../../../openflow/messages/types.ts";
import { formatMessage } from "../../../openflow/text/message.ts";
import type { TextNames } from "../../../openflow/text/names.ts";
import { formatProtocols, formatVersions } from "../../../openflow/text/protocols.ts";
import { parseMonitor, parsePacketOut } from "../../../openflow/text/request-parse.ts";
import { parseHexBytes } from "../../../openflow/text/scan.ts";
import { OF10, OF13, OF14 } from "../../../openflow/version.ts";
import { TextError } from "../../../packet/text.ts";
import { raw } from "../../../linux/libc.ts";
import { commandAdder, CommandError, UnixctlServer } from "../../../slowpath/unixctl.ts";
import { OpenFlowClientError, xidOf } from "../../openflow-client.ts";
import { daemonize } from "../../roles/daemon.ts";
import { OVS_VERSION } from "../../version.ts";
import { runDir } from "../connect.ts";
import { errnoOf, errnoText, Fatal } from "../fatal.ts";
import { toStderr, toStdout } from "../output.ts";
import { command, MANY } from "./command.ts";
import { PROGRAM } from "./options.ts";
import type { Session, Vconn } from "./session.ts";
import { fetchConfig, setConfig } from "./switch-commands.ts";

const INVALID_TTL_VERSIONS = 0b1110;
const STDOUT = 1;
const STDERR = 2;

async function monitor(session: Session, args: readonly string[]): Promise<number> {
  const [target = "", ...rest] = args;
  return await inBackground(session, async (ready) => {
    let versions: number | undefined;
    if (rest.includes("invalid_ttl")) {
      if ((session.options.versions & INVALID_TTL_VERSIONS) === 0) {
        throw new Fatal(
          "invalid_ttl requires one of the OpenFlow versions " +
            `${formatVersions(INVALID_TTL_VERSIONS)} but none is enabled (use -O)`,
        );
      }
      versions = INVALID_TTL_VERSIONS;
    }
    const vconn = await session.open(target, versions);
    let resumes = false;
    let watches = 0;
    for (const word of rest) {
      if (/^\d/.test(word)) {
        const config = await fetchConfig(session, vconn);
        const missSendLength = (parseInt(word, 10) || 0) & 0xffff;
        await setConfig(session, vconn, target, { ...config, missSendLength });
      } else if (word === "invalid_ttl") await sendInvalidTtl(session, vconn, target);
      else if (word.startsWith("watch:")) {
        await watch(session, vconn, target, word.slice("watch:".length), watches++);
      } else if (word === "resume") {
        resumes = true;
        const config = await fetchConfig(session, vconn);
        await setConfig(session, vconn, target, { ...config, missSendLength: 0xffff });
      } else throw new Fatal(`${word}: unsupported "monitor" argument`);
    }
    await choosePacketIns(session, vconn, target);
    const names = await session.namesToShow(target);
    await new Monitor(session, vconn, target, names, true, resumes).run(ready);
  });
}

async function snoop(session: Session, [target = ""]: readonly string[]): Promise<number> {
  return await inBackground(session, async (ready) => {
    const vconn = await session.open(target, undefined, "snoop");
    await new Monitor(session, vconn, target, undefined, false, false).run(ready);
  });
}

/** Runs `work` here, or in a process of its own that goes on when `ready` is called. */
async function inBackground(
  session: Session,
  work: (ready: () => void) => Promise<void>,
): Promise<number> {
  const options = session.options.daemon;
  const daemonized = await daemonize({
    program: PROGRAM,
    arguments: process.argv.slice(2),
    options,
    logger: session.log.logger("daemon_unix"),
    keepsOutput: true,
  });
  if ("exitCode" in daemonized) return daemonized.exitCode;
  const { daemon } = daemonized;
  try {
    await work(() => {
      daemon.claimPidFile();
      daemon.ready();
      // What is told goes to standard error; whoever waits for the end of the output shall not wait.
      if (options.detach) closeStdout();
    });
    return 0;
  } finally {
    daemon.release();
  }
}

async function sendInvalidTtl(session: Session, vconn: Vconn, target: string): Promise<void> {
  const config = await fetchConfig(session, vconn);
  if (config.invalidTtlToController) return;
  await setConfig(session, vconn, target, { ...config, invalidTtlToController: true });
  if ((await fetchConfig(session, vconn)).invalidTtlToController) return;
  throw new Fatal(
    "setting invalid_ttl_to_controller failed (this switch probably doesn't support this flag)",
  );
}

async function watch(
  session: Session,
  vconn: Vconn,
  target: string,
  text: string,
  id: number,
): Promise<void> {
  const { monitor: one, protocols } = await session.parse(
    target,
    (names) => parseMonitor(text, id, names),
  );
  const allowed = session.options.protocols;
  if ((protocols & allowed) === 0) {
    throw new Fatal(
      `none of the usable flow formats (${formatProtocols(protocols)}) is among the ` +
        `allowed flow formats (${formatProtocols(allowed)})`,
    );
  }
  const { version } = vconn.client;
  const form = version < OF13 ? "nicira" : version < OF14 ? "onf" : undefined;
  const request: FlowMonitorRequest = {
    type: "flow_monitor_request",
    ...(form ? { form } : {}),
    monitors: [form ? { ...one, flags: niciraFlags(one.flags) } : one],
  };
  if (session.options.verbosity > 0) {
    const bytes = session.encode(vconn, vconn.client.nextXid(), request);
    toStdout(formatMessage(bytes, { verbosity: session.options.verbosity + 2 }));
  }
  await session.dump(vconn, target, request);
}

/** "Own" is another bit there. */
const niciraFlags = (flags: number): number =>
  flags & FLOW_MONITOR_FLAGS.ONLY_OWN
    ? (flags & ~FLOW_MONITOR_FLAGS.ONLY_OWN) | FLOW_MONITOR_FLAGS.OWN
    : flags;

/** The form with the most in it, unless one was asked for. */
async function choosePacketIns(session: Session, vconn: Vconn, target: string): Promise<void> {
  const wanted = session.options.packetInFormat;
  const message = (format: SetPacketInFormat["format"]): SetPacketInFormat => ({
    type: "set_packet_in_format",
    format,
  });
  if (wanted) return await session.transact(vconn, target, [message(wanted)]);
  if (!await session.refused(vconn, message("nicira2"))) return;
  if (vconn.client.version === OF10) await session.refused(vconn, message("nicira"));
}

class Monitor {
  private blocked = false;
  private barrier: { xid: number; done(): void } | undefined;
  private readonly unblocked: (() => void)[] = [];
  private readonly over = Promise.withResolvers<void>();

  constructor(
    private readonly session: Session,
    private readonly vconn: Vconn,
    private readonly target: string,
    private readonly names: TextNames | undefined,
    private readonly answersEchoes: boolean,
    private readonly resumes: boolean,
  ) {}

  async run(ready: () => void): Promise<void> {
    const { client } = this.vconn;
    const server = this.serve();
    ready();
    try {
      await Promise.race([this.over.promise, this.receive()]);
    } catch (error) {
      if (error instanceof OpenFlowClientError) throw new Fatal(`vconn_recv (${error.message})`);
      throw error;
    } finally {
      server.close();
      client.close();
    }
  }

  private async receive(): Promise<void> {
    const { client } = this.vconn;
    for (;;) {
      if (this.blocked) await new Promise<void>((resume) => this.unblocked.push(resume));
      const bytes = await client.receive();
      if (this.blocked) await new Promise<void>((resume) => this.unblocked.push(resume));
      const time = this.session.options.timestamp ? `${timestamp()}: ` : "";
      toStderr(time + this.text(bytes, this.session.options.verbosity + 2));
      this.react(bytes);
    }
  }

  private text(bytes: Uint8Array, verbosity: number): string {
    return formatMessage(bytes, { verbosity, names: this.names });
  }

  private react(bytes: Uint8Array): void {
    let name: string;
    try {
      ({ name } = identify(bytes));
    } catch (error) {
      if (error instanceof OfError) return;
      throw error;
    }
    const { client } = this.vconn;
    if (name === "barrier_reply" && this.barrier?.xid === xidOf(bytes)) {
      this.barrier.done();
      this.barrier = undefined;
    } else if (name === "echo_request" && this.answersEchoes) {
      const data = bytes.slice(8);
      client.write(encode(client.version, xidOf(bytes), { type: "echo_reply", data }));
    } else if (name === "packet_in" && this.resumes) this.resume(bytes);
  }

  private resume(bytes: Uint8Array): void {
    try {
      const { message } = decode(bytes, { loose: true });
      if (message.type !== "packet_in" || !message.continuation?.length) return;
      const { packet, metadata, continuation, reason, table, cookie } = message;
      const { client } = this.vconn;
      const resume = encode(client.version, client.nextXid(), {
        type: "resume",
        packet,
        metadata,
        continuation,
        reason,
        table,
        cookie,
      });
      toStderr(`send: ${this.text(resume, this.session.options.verbosity + 2)}`);
      client.write(resume);
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      toStderr(`decoding packet-in failed: ${error.error}`);
    }
  }

  private serve(): UnixctlServer {
    const directory = runDir(process.env);
    const path = this.session.options.unixctl ?? `${PROGRAM}.${process.pid}.ctl`;
    let server: UnixctlServer;
    try {
      server = new UnixctlServer(
        path.startsWith("/") ? path : `${directory}/${path}`,
        this.session.log.logger("unixctl_server"),
      );
    } catch (error) {
      throw new Fatal(
        `failed to create unixctl server (${errnoText(errnoOf(error) ?? "EIO")})`,
      );
    }
    const add = commandAdder(server);
    add("version", "", [0, 0], () => `${PROGRAM} (Open vSwitch) ${OVS_VERSION}\n`);
    add("exit", "", [0, 0], () => {
      // The answer goes out first.
      setTimeout(() => this.over.resolve(), 0);
      return "";
    });
    add("ofctl/send", "OFMSG...", [1, MANY], (args) => this.send(args));
    add("ofctl/packet-out", '"in_port=<port> packet=<hex data> actions=..."', [1, 1], (args) => {
      return this.packetOut(args[0]!);
    });
    add("ofctl/barrier", "", [0, 0], () => this.sendBarrier());
    add("ofctl/set-output-file", "FILE", [1, 1], ([file = ""]) => redirect(file));
    add("ofctl/block", "", [0, 0], () => {
      const already = this.blocked;
      this.blocked = true;
      return already ? "already blocking" : "";
    });
    add("ofctl/unblock", "", [0, 0], () => {
      if (!this.blocked) return "already unblocked";
      this.blocked = false;
      for (const resume of this.unblocked.splice(0)) resume();
      return "";
    });
    return server;
  }

  private send(args: readonly string[]): string {
    let text = "";
    let ok = true;
    for (const arg of args) {
      const bytes = parseHexBytes(arg);
      const problem = bytes === undefined
        ? "Trailing garbage in hex data"
        : bytes.length < 8
        ? "Message too short for OpenFlow"
        : ((bytes[2]! << 8) | bytes[3]!) !== bytes.length
        ? "Message size does not match length in OpenFlow header"
        : undefined;
      if (bytes === undefined || problem !== undefined) {
        text += `${problem}\n`;
        ok = false;
        continue;
      }
      toStderr(`send: ${this.text(bytes, this.session.options.verbosity)}`);
      this.vconn.client.write(bytes);
      text += "sent\n";
    }
    if (!ok) throw new CommandError(text);
    return text;
  }

  private async packetOut(text: string): Promise<string> {
    try {
      const { message, protocols } = await this.session.parse(
        this.target,
        (names) => parsePacketOut(text, names),
      );
      if ((protocols & this.vconn.protocol) === 0) {
        throw new CommandError(
          "PACKET_OUT actions are incompatible with the OpenFlow connection.\n",
        );
      }
      const { client } = this.vconn;
      const bytes = this.session.encode(this.vconn, client.nextXid(), message);
      toStderr(this.text(bytes, this.session.options.verbosity));
      client.write(bytes);
      return "";
    } catch (error) {
      if (error instanceof Fatal || error instanceof TextError) {
        throw new CommandError(`${error.message}\n`);
      }
      throw error;
    }
  }

  private async sendBarrier(): Promise<string> {
    if (this.barrier) throw new CommandError("already waiting for barrier reply");
    const { promise, resolve } = Promise.withResolvers<void>();
    const xid = this.vconn.client.send({ type: "barrier_request" });
    this.barrier = { xid, done: resolve };
    await promise;
    return "";
  }
}

function closeStdout(): void {
  const fd = openSync("/dev/null", "r+");
  raw.dup2(fd, STDOUT);
  closeSync(fd);
}

/** What goes to standard error goes to the file from now on. */
function redirect(file: string): string {
  let fd: number;
  try {
    fd = openSync(file, "w", 0o666);
  } catch (error) {
    throw new CommandError(errnoText(errnoOf(error) ?? "EIO"));
  }
  raw.dup2(fd, STDERR);
  closeSync(fd);
  return "";
}

function timestamp(): string {
  return new Date().toISOString().replace("T", " ").replace("Z", "");
}

export const monitorCommands = [
  command("monitor", "switch [misslen] [invalid_ttl] [watch:[...]]", [1, 3], "ro", monitor),
  command("snoop", "switch", [1, 1], "ro", snoop),
];
