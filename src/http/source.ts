/** What the HTTP room reads: the database's copy, and the running switch. It changes neither. */
import type { Replica } from "../db/replica.ts";
import type { Vswitch } from "../slowpath/vswitch.ts";

export interface HttpSource {
  readonly version: string;
  /** Milliseconds since the daemon started. */
  readonly uptimeMs: () => number;
  readonly replica: Pick<Replica, "rows">;
  readonly vswitch: Pick<Vswitch, "bridges" | "status">;
}
