/**
 * `solovs lab`: a whole network on one machine, to see the switch at work and to try things.
 *
 *      host h1 (namespace)             this process              host h2 (namespace)
 *      eth0 10.0.0.1/24 ──veth── lab0-h1 [ lab0 ] lab0-h2 ──veth── eth0 10.0.0.2/24
 *
 * Needs root and nothing else: hosts are processes of this executable in network namespaces of their
 * own, the ping and the TCP transfer are its own, the cables are made by rtnetlink. The database and
 * sockets are in a temporary directory. All of it ends with the lab, after errors too. Even after a
 * `kill -9` the hosts see their input end, so that namespaces and cables go; only the directory stays.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogSink } from "../../log/log.ts";
import { missingCapabilities } from "../capabilities.ts";
import { type Daemon, startDaemon } from "../daemon.ts";
import { CommandError, EXIT, reason } from "../exit.ts";
import { claimInstance } from "../instance.ts";
import { defaultDatapath, type ListenAddress } from "../options.ts";
import { StopSignals } from "../signals.ts";
import { addBridge, interfacesMissing } from "./bridge.ts";
import { demonstrate } from "./demonstration.ts";
import { indent, sampleCommands } from "./text.ts";
import { freeBridgeName, type LabHost, removeHost, startHost } from "./topology.ts";

export interface LabOptions {
  /** Undefined: 127.0.0.1:8080, or a free port if that one is taken. */
  readonly http?: ListenAddress | "none";
  /** End after the demonstration. */
  readonly once: boolean;
}

const LOG_TAIL_LINES = 20;

function checkPrivileges(): void {
  const missing = missingCapabilities(["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"]);
  if (missing.length === 0) return;
  throw new CommandError(
    "the lab makes network namespaces and devices, and attaches to them: it needs root.\n" +
      `Run it again with sudo (missing here: ${missing.join(", ")}). ` +
      "Without root you can look around with: solovs run --dummy --run-dir DIR --db FILE",
  );
}

/** 127.0.0.1:8080, or any free port if somebody listens there. */
function freeHttpAddress(): ListenAddress {
  const usual = { host: "127.0.0.1", port: 8080 };
  try {
    Bun.listen({ hostname: usual.host, port: usual.port, socket: { data() {} } }).stop(true);
    return usual;
  } catch {
    return { ...usual, port: 0 };
  }
}

/** What the lab has made so far; `remove` takes it down again, in reverse order. */
class Cleanup {
  private readonly steps: { what: string; undo: () => void | Promise<void> }[] = [];

  add(what: string, undo: () => void | Promise<void>): void {
    this.steps.push({ what, undo });
  }

  async run(): Promise<void> {
    for (const { what, undo } of this.steps.splice(0).reverse()) {
      try {
        await undo();
      } catch (error) {
        process.stderr.write(`solovs lab: could not remove ${what}: ${reason(error)}\n`);
      }
    }
  }
}

export async function lab(options: LabOptions): Promise<number> {
  checkPrivileges();
  const cleanup = new Cleanup();
  let directory: string | undefined;
  const signals = new StopSignals((cause) => {
    process.stderr.write(`solovs lab: ${cause} again, ending at once\n`);
    // Devices and namespaces go with the processes; this would not.
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
    process.exit(EXIT.failure);
  });
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  let logTail = (): string => "";
  try {
    const made = directory = mkdtempSync(join(tmpdir(), "solovs-lab-"));
    cleanup.add(made, () => rmSync(made, { recursive: true, force: true }));
    const logFile = join(made, "solovs.log");
    const logFd = openSync(logFile, "a");
    cleanup.add("the log file", () => closeSync(logFd));
    const log = new LogSink((line) => void writeSync(logFd, `${line}\n`));
    logTail = () => readFileSync(logFile, "utf8").split("\n").slice(-LOG_TAIL_LINES - 1).join("\n");

    const interrupted = signals.stopped.then((cause): never => {
      throw new Interrupted(cause);
    });
    interrupted.catch(() => {});
    const untilStopped = <T>(work: Promise<T>): Promise<T> => Promise.race([work, interrupted]);

    say(`solovs lab: two hosts, and a switch in ${made}`);
    const bridge = freeBridgeName();
    const hosts = await startHosts(bridge, cleanup);
    const daemon = await startLabDaemon(options, made, log, signals, cleanup);
    await untilStopped(attachHosts(daemon, bridge, hosts));
    say(`  bridge ${bridge} with ${hosts.map((h) => `host ${h.name} (${h.ip})`).join(" and ")}`);
    await untilStopped(demonstrate(hosts, daemon, bridge, say));

    const facts = {
      bridge,
      runDir: made,
      httpUrl: daemon.httpUrl,
      hosts: hosts.map(({ name, ip, process: { pid } }) => ({ name, ip, pid })),
    };
    if (!options.once) {
      say(`\nConsole: ${daemon.setupUrl ?? "switched off"}    Log: ${logFile}`);
      say(`Try in another terminal (the ovs- commands are in Debian's openvswitch-switch):`);
      say(sampleCommands(facts));
      say("\nRunning until Ctrl-C.");
      await untilStopped(new Promise<never>(() => {}));
    }
    return EXIT.ok;
  } catch (error) {
    if (error instanceof Interrupted) return EXIT.ok;
    const tail = logTail();
    const log = tail === "" ? "" : `\nThe switch's last words:\n${indent(tail)}`;
    throw new CommandError(`the lab failed: ${reason(error)}${log}`);
  } finally {
    // Had the log file's directory gone first, the switch could not say what it does.
    say("\nRemoving the lab.");
    await cleanup.run();
    signals.close();
  }
}

/** Thrown through the lab when somebody asks it to stop: not an error. */
class Interrupted extends Error {}

async function startLabDaemon(
  options: LabOptions,
  directory: string,
  log: LogSink,
  signals: StopSignals,
  cleanup: Cleanup,
): Promise<Daemon> {
  const db = join(directory, "solovs.db");
  const instance = claimInstance(directory, db);
  cleanup.add("the pid file", () => instance.release());
  const daemon = await startDaemon(
    {
      runDir: directory,
      db,
      http: options.http ?? freeHttpAddress(),
      remote: [],
      logLevel: [],
      dummy: false,
      datapath: defaultDatapath(process.env),
    },
    log,
    () => signals.stop("ovs-appctl exit"),
  );
  cleanup.add("the switch", () => daemon.stop());
  return daemon;
}

/** Two hosts, plugged into devices that nothing is attached to yet. */
async function startHosts(bridge: string, cleanup: Cleanup): Promise<LabHost[]> {
  const hosts: LabHost[] = [];
  for (const [name, ip] of [["h1", "10.0.0.1"], ["h2", "10.0.0.2"]] as const) {
    const host = await startHost(bridge, name, ip);
    cleanup.add(`host ${name}`, () => removeHost(host));
    hosts.push(host);
  }
  return hosts;
}

async function attachHosts(
  daemon: Daemon,
  bridge: string,
  hosts: readonly LabHost[],
): Promise<void> {
  const ports = hosts.map((host) => host.port);
  await addBridge(daemon.replica, bridge, ports);
  await daemon.vswitch.settled();
  const missing = interfacesMissing(daemon.replica, ports);
  if (missing.length > 0) throw new Error(missing.join("; "));
}
