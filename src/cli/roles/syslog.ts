/**
 * The system log of daemons and clients (ovs-vswitchd(8), "Logging Options").
 *
 *     --syslog-method=libc         RFC 3164 to /dev/log, as syslog(3) writes it: the default
 *     --syslog-method=unix:FILE    RFC 3164's priority and the message, to a socket
 *     --syslog-method=udp:IP:PORT  the same over UDP, port 514 unless told
 *     --syslog-method=null         nowhere
 *     --syslog-target=IP:PORT      RFC 5424 over UDP, besides all that
 *
 * The first method that is given counts; OVS_SYSLOG_METHOD in the environment stands for the default.
 * A socket is opened when there is the first line to send, and again after it has failed; lines are
 * lost as long as nobody takes them, and nothing ever waits.
 */
import { existsSync } from "node:fs";
import type * as Datagram from "../../linux/datagram.ts";
import { Fatal } from "../clients/fatal.ts";

const DEFAULT_PATH = "/dev/log";
const DEFAULT_PORT = 514;
const DAEMON_FACILITY = 3 << 3;
/** How long one that could not be reached is left alone. */
const RETRY_MS = 1000;

/**
 * Loaded when there is somebody to send to: opening the C library takes a client longer than all else
 * that it does.
 */
const loadDatagram = (): typeof Datagram => require("../../linux/datagram.ts");

/** Undefined: there is nobody. */
type Opener = () => Datagram.DatagramSender | undefined;

/** A place that takes datagrams, when it does. */
class Receiver {
  private sender: Datagram.DatagramSender | undefined;
  private failedMs = -Infinity;

  constructor(private readonly open: Opener) {}

  send(text: string): void {
    const bytes = new TextEncoder().encode(text);
    // A daemon of the system log that was started again has another socket.
    for (let tries = 0; tries < 2; tries++) {
      const sender = this.connected();
      if (!sender || sender.send(bytes) === 0) return;
      sender.close();
      this.sender = undefined;
    }
  }

  private connected(): Datagram.DatagramSender | undefined {
    if (this.sender) return this.sender;
    const now = performance.now();
    if (now - this.failedMs < RETRY_MS) return undefined;
    try {
      this.sender = this.open();
    } catch {
      // Nobody listens there.
    }
    if (!this.sender) this.failedMs = now;
    return this.sender;
  }
}

export interface SystemLine {
  /** Facility and severity, as RFC 3164 §4.1.1 has them in one number. */
  readonly priority: number;
  /** Somebody asked for that facility: else it is that of daemons, but for RFC 5424's line. */
  readonly hasFacility: boolean;
  readonly message: string;
  /** `Nov 22 16:37:14`, local time. */
  readonly stamp: string;
  /** The whole of RFC 5424's line. */
  readonly modern: () => string;
}

type Method = "libc" | "null" | "direct";

export class SystemLog {
  private method: Method;
  private chosen = false;
  private receiver: Receiver | undefined;
  private target: Receiver | undefined;

  constructor(private readonly program: string, environment: NodeJS.ProcessEnv) {
    this.method = "null";
    const method = environment["OVS_SYSLOG_METHOD"];
    const known = method !== undefined && /^(libc|null|unix:.*|udp:[^:]+(:\d+)?)$/.test(method);
    this.setMethod(known ? method : "libc");
    this.chosen = false;
  }

  /** Whether lines go anywhere. */
  get isOpen(): boolean {
    return this.method !== "null" || this.target !== undefined;
  }

  /** What stands before the pattern's text, as `vlog/list-pattern` shows it. */
  get prefix(): string {
    switch (this.method) {
      case "libc":
        return "<%B> %D{%h %e %T} %E %A:";
      case "direct":
        return "<%B>";
      case "null":
        return "";
      default: {
        const never: never = this.method;
        return never;
      }
    }
  }

  /** Throws `Fatal`. */
  setMethod(text: string): void {
    if (this.chosen) return;
    this.chosen = true;
    this.receiver = undefined;
    if (text === "null") this.method = "null";
    else if (text === "libc") {
      this.method = "libc";
      this.receiver = pathReceiver(DEFAULT_PATH);
    } else if (text.startsWith("unix:")) {
      this.method = "direct";
      this.receiver = pathReceiver(text.slice("unix:".length));
    } else if (text.startsWith("udp:")) {
      this.method = "direct";
      this.receiver = new Receiver(hostOpener(text.slice("udp:".length), DEFAULT_PORT));
    } else throw new Fatal(`unsupported syslog method '${text}'`);
  }

  /** Throws `Fatal`. */
  setTarget(text: string): void {
    this.target = new Receiver(hostOpener(text, undefined));
  }

  send({ priority: asked, hasFacility, message, stamp, modern }: SystemLine): void {
    const priority = hasFacility ? asked : DAEMON_FACILITY | (asked & 7);
    const head = this.method === "libc"
      ? `<${priority}>${stamp} ${this.program}: `
      : `<${priority}>`;
    for (const line of message.split("\n")) {
      if (line !== "") this.receiver?.send(head + line);
    }
    this.target?.send(modern());
  }
}

function pathReceiver(path: string): Receiver {
  return new Receiver(() =>
    existsSync(path) ? loadDatagram().DatagramSender.toPath(path) : undefined
  );
}

/** `IP[:PORT]`, an IPv6 address in brackets where a port follows. */
function hostOpener(text: string, defaultPort: number | undefined): Opener {
  const parts = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text);
  const host = parts?.[1] ?? parts?.[2] ?? (text.includes("::") ? text : undefined);
  const port = parts?.[3] === undefined ? defaultPort : Number(parts[3]);
  if (host === undefined || port === undefined || port < 1 || port > 0xffff) {
    throw new Fatal(`${text}: IP:PORT is needed to reach a system log`);
  }
  if (!/^[\d.]+$|:/.test(host)) {
    throw new Fatal(`${host}: the address of a system log must be a number, not a name`);
  }
  return () => loadDatagram().DatagramSender.toHost(host, port);
}
