/** What the HTTP room is given: the database, its typed copy, and the running switch. */
import type { Database } from "../db/database.ts";
import type { Replica } from "../db/replica.ts";
import type { Vswitch } from "../slowpath/vswitch.ts";

export interface HttpParts {
  readonly version: string;
  /** Milliseconds since the daemon started. */
  readonly uptimeMs: () => number;
  /** Any table, and all changes: they go through here. */
  readonly database: Database;
  /** The switch's own copy. */
  readonly replica: Pick<Replica, "rows">;
  readonly vswitch: Vswitch;
}

export class HttpSource implements HttpParts {
  readonly version: string;
  readonly uptimeMs: () => number;
  readonly database: Database;
  readonly replica: Pick<Replica, "rows">;
  readonly vswitch: Vswitch;

  constructor(parts: HttpParts) {
    this.version = parts.version;
    this.uptimeMs = parts.uptimeMs;
    this.database = parts.database;
    this.replica = parts.replica;
    this.vswitch = parts.vswitch;
  }

  /** What is asked of the switch, and what it has done: in force when the second reaches the first. */
  configuration(): { readonly nextCfg: number; readonly curCfg: number } {
    const [root] = this.replica.rows("Open_vSwitch").values();
    return { nextCfg: root?.next_cfg ?? 0, curCfg: root?.cur_cfg ?? 0 };
  }
}
