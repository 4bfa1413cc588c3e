/** What the HTTP room is given: the database, its typed copy, and the running switch. */
import type { Database } from "../db/database.ts";
import type { Replica } from "../db/replica.ts";
import type { OvsdbServer } from "../db/server.ts";
import type { LogSink } from "../log/log.ts";
import type { UnixctlServer } from "../slowpath/unixctl.ts";
import type { Vswitch } from "../slowpath/vswitch.ts";
import { Captures } from "./captures.ts";
import { LogTail } from "./log-tail.ts";
import { PacketIns } from "./packet-ins.ts";
import { Rings } from "./statistics/ring.ts";
import { Sampler } from "./statistics/sampler.ts";
import { Streams } from "./streams.ts";

export interface HttpParts {
  readonly version: string;
  /** Milliseconds since the daemon started. */
  readonly uptimeMs: () => number;
  /** Any table, and all changes: they go through here. */
  readonly database: Database;
  /** For the methods of its own (history, backup); undefined: there is no history. */
  readonly server?: OvsdbServer;
  /** The switch's own copy. */
  readonly replica: Pick<Replica, "rows">;
  readonly vswitch: Vswitch;
  /** What `ovs-appctl` can ask; its texts are the API's. */
  readonly commands?: Pick<UnixctlServer, "has" | "execute">;
  /** To show what is logged, and to change what is. */
  readonly log: LogSink;
}

export class HttpSource implements Omit<HttpParts, "server" | "commands"> {
  readonly version: string;
  readonly uptimeMs: () => number;
  readonly database: Database;
  readonly server: OvsdbServer | undefined;
  readonly commands: HttpParts["commands"] | undefined;
  readonly replica: Pick<Replica, "rows">;
  readonly vswitch: Vswitch;
  readonly log: LogSink;
  readonly logTail: LogTail;
  readonly streams = new Streams();
  readonly sampler: Sampler;
  readonly captures: Captures;
  readonly packetIns: PacketIns;
  private readonly stopCounting: () => void;
  private readonly counts = { commits: 0, changedRows: 0, requests: new Map<string, number>() };

  /** Statistics are kept in `rings`; the last hour only, unless given. */
  constructor(parts: HttpParts, rings = new Rings(undefined)) {
    this.version = parts.version;
    this.uptimeMs = parts.uptimeMs;
    this.database = parts.database;
    this.server = parts.server;
    this.commands = parts.commands;
    this.captures = new Captures(parts.vswitch.observe);
    this.packetIns = new PacketIns(parts.vswitch.observe);
    this.replica = parts.replica;
    this.vswitch = parts.vswitch;
    this.log = parts.log;
    this.logTail = new LogTail(parts.log);
    this.sampler = new Sampler({
      vswitch: parts.vswitch,
      rings,
      logger: parts.log.logger("statistics"),
    });
    this.sampler.start();
    this.stopCounting = parts.database.onCommit(({ deltas }) => {
      this.counts.commits++;
      this.counts.changedRows += deltas.length;
    });
  }

  /** Answers are counted by method and status. */
  countRequest(method: string, status: number): void {
    const key = `${method} ${status}`;
    this.counts.requests.set(key, (this.counts.requests.get(key) ?? 0) + 1);
  }

  get counted(): Readonly<typeof this.counts> {
    return this.counts;
  }

  close(): void {
    this.stopCounting();
    this.sampler.close();
    this.captures.close();
    this.packetIns.close();
    this.logTail.close();
    this.streams.close();
  }

  /** What is asked of the switch, and what it has done: in force when the second reaches the first. */
  configuration(): { readonly nextCfg: number; readonly curCfg: number } {
    const [root] = this.replica.rows("Open_vSwitch").values();
    return { nextCfg: root?.next_cfg ?? 0, curCfg: root?.cur_cfg ?? 0 };
  }
}
