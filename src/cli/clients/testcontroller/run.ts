/**
 * `testcontroller`: an OpenFlow controller that is a learning switch, or a hub, for the switches that
 * call it or that it calls; ovs-testcontroller(8) of Open vSwitch 3.1, with its options.
 *
 * It is for trying things out: it knows nothing of loops, and each switch by itself.
 *
 * `options.ts` the command line · `switch.ts` a connection · `learning.ts` what is done with a packet
 */
import { Tls } from "../../../db/tls/tls.ts";
import { UnixctlServer } from "../../../slowpath/unixctl.ts";
import type { Stream, StreamEvents } from "../../../slowpath/control/streams.ts";
import { systemText } from "../../../slowpath/control/streams.ts";
import { isPassive, parseTarget } from "../../../slowpath/control/targets.ts";
import { listenAnyStreams, openAnyStream } from "../../../slowpath/control/tls-streams.ts";
import { daemonize } from "../../roles/daemon.ts";
import { OVS_VERSION } from "../../version.ts";
import { ClientLog } from "../client-log.ts";
import { runDir } from "../connect.ts";
import { Fatal } from "../fatal.ts";
import { toStderr, toStdout } from "../output.ts";
import { InformationAsked } from "../vsctl/options.ts";
import { type ControllerOptions, parseOptions, PROGRAM } from "./options.ts";
import { SwitchConnection } from "./switch.ts";

const MOST_SWITCHES = 256;

/** Resolves with the exit code, once there is nobody left to serve or it is told to end. */
export async function runTestController(words: readonly string[]): Promise<number> {
  const log = new ClientLog(PROGRAM, toStderr, "info");
  try {
    const { options, methods } = parseOptions(words, log);
    const daemonized = await daemonize({
      program: PROGRAM,
      arguments: process.argv.slice(2),
      options: options.daemon,
      logger: log.logger("daemon_unix"),
    });
    if ("exitCode" in daemonized) return daemonized.exitCode;
    const { daemon } = daemonized;
    const controller = new Controller(options, log);
    try {
      await controller.start(methods);
      daemon.claimPidFile();
      controller.serve();
      daemon.ready();
      await controller.over();
    } finally {
      controller.close();
      daemon.release();
    }
    return 0;
  } catch (error) {
    if (error instanceof InformationAsked) {
      toStdout(error.about === "version" ? `${PROGRAM} (Open vSwitch) ${OVS_VERSION}\n` : HELP);
      return 0;
    }
    if (!(error instanceof Fatal)) throw error;
    toStderr(`${PROGRAM}: ${error.message}\n`);
    return error.exitCode;
  }
}

class Controller {
  private readonly tls: Tls;
  private readonly streams = new Set<Stream>();
  private readonly listeners: { close(): void }[] = [];
  private readonly end = Promise.withResolvers<void>();
  private server: UnixctlServer | undefined;

  constructor(private readonly options: ControllerOptions, private readonly log: ClientLog) {
    this.tls = new Tls(() => options.tls, log.logger("stream_ssl"));
  }

  async start(methods: readonly string[]): Promise<void> {
    for (const method of methods) {
      try {
        await this.open(method);
      } catch (error) {
        this.log.log("testcontroller", "err", `${method}: connect: ${systemText(error)}`);
      }
    }
    if (this.streams.size + this.listeners.length === 0) {
      throw new Fatal("no active or passive switch connections");
    }
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.once(signal, () => this.end.resolve());
    }
  }

  private async open(method: string): Promise<void> {
    const parsed = parseTarget(method, runDir(process.env));
    if (!parsed.ok) throw new Error(parsed.error);
    const { target } = parsed;
    if (isPassive(target)) {
      const listener = listenAnyStreams(target, this.tls, (stream) => this.accept(stream));
      this.listeners.push(listener);
      if (listener.port !== undefined) {
        this.log.log("testcontroller", "info", `${method}: listening on port ${listener.port}`);
      }
      return;
    }
    await openAnyStream(target, this.tls, (stream) => {
      const events = this.accept(stream);
      if (events) return events;
      stream.abort("too many switches");
      return { data: () => {}, closed: () => {} };
    });
  }

  private accept(stream: Stream): StreamEvents | undefined {
    if (this.streams.size >= MOST_SWITCHES) {
      this.log.log("testcontroller", "warn", `more than ${MOST_SWITCHES} switches`);
      return undefined;
    }
    this.streams.add(stream);
    const logger = this.log.logger("learning_switch");
    return new SwitchConnection(stream, this.options, logger).start(() => {
      this.streams.delete(stream);
      if (this.streams.size + this.listeners.length === 0) this.end.resolve();
    });
  }

  /** The control socket. */
  serve(): void {
    const path = this.options.unixctl ?? `${PROGRAM}.${process.pid}.ctl`;
    try {
      this.server = new UnixctlServer(
        path.startsWith("/") ? path : `${runDir(process.env)}/${path}`,
        this.log.logger("unixctl_server"),
      );
    } catch (error) {
      throw new Fatal(`failed to create unixctl server (${systemText(error)})`);
    }
    const nothing = { usage: "", minArguments: 0, maxArguments: 0 };
    this.server.register("version", {
      ...nothing,
      run: () => `${PROGRAM} (Open vSwitch) ${OVS_VERSION}\n`,
    });
    this.server.register("exit", {
      ...nothing,
      run: () => {
        // The answer goes out first.
        setTimeout(() => this.end.resolve(), 0);
        return "";
      },
    });
  }

  async over(): Promise<void> {
    await this.end.promise;
  }

  close(): void {
    this.server?.close();
    for (const listener of this.listeners) listener.close();
    for (const stream of this.streams) stream.abort("the controller ends");
  }
}

const HELP = `${PROGRAM}: OpenFlow controller for trying things out
usage: ${PROGRAM} [OPTIONS] METHOD...

METHOD: ptcp:[PORT][:HOST], pssl:[PORT][:HOST], punix:FILE, tcp:HOST[:PORT], ssl:HOST[:PORT], unix:FILE

Options:
  -H, --hub                     be a hub instead of a learning switch
  -n, --noflow                  send packets on, but add no flows
  --max-idle=SECS               for how long an idle flow stays (60), or 'permanent'
  -N, --normal                  let the switch choose the port by its own learning
  -w, --wildcards[=MASK]        fields that flows leave out (OpenFlow 1.0's bits, in hex)
  -q, --queue=QUEUE-ID          send packets by that queue
  -Q, --port-queue=PORT-NAME:QUEUE-ID
                                the same for packets that come in by that port
  --with-flows=FILE             flows that every switch gets
  --mute                        accept connections and answer no packet
  -O, --protocols=VERSIONS      versions of OpenFlow that may be spoken
  --unixctl=SOCKET              the control socket
  --detach, --no-chdir, --pidfile[=FILE]
                                in the background
  -p, -c, -C FILE               for ssl: and pssl: private key, certificate, the switches' authority
  -v, --verbose[=SPEC]          log more; SPEC: [MODULE:][DESTINATION:]LEVEL
  --log-file[=FILE]             log to FILE
  -h, --help                    print this help
  -V, --version                 print the version
`;
