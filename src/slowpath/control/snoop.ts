/**
 * RUNDIR/BRIDGE.snoop: whoever connects is sent a copy of every OpenFlow message between the bridge
 * and its controller (`ovs-ofctl snoop`). With several controllers it is the one whose role counts
 * most. A snooper that does not read is dropped; it never holds the switch back.
 */
import type { Logger } from "../../log/log.ts";
import type { Clock } from "../clock.ts";
import type { Agent } from "./agent.ts";
import type { Agents } from "./agents.ts";
import { Connection } from "./connection.ts";
import { MAX_PASSIVE } from "./service.ts";
import { listenStreams, type StreamListener } from "./streams.ts";

/** A snooper that has this many messages waiting is dropped. */
const MAX_BACKLOG = 4096;
const ALL_VERSIONS = 0b1111110;

export class Snoop {
  private readonly listener: StreamListener;
  private readonly snoopers = new Set<Connection>();

  /** Throws if the socket cannot be made. */
  constructor(
    path: string,
    private readonly agents: Agents,
    clock: Clock,
    log: Logger,
  ) {
    this.listener = listenStreams({ kind: "punix", path }, (stream) => {
      if (this.snoopers.size >= MAX_PASSIVE) return undefined;
      const snooper: Connection = new Connection(
        stream,
        { clock, log, versions: ALL_VERSIONS, probeMs: 0 },
        {
          opened: () => this.snoopers.add(snooper),
          message: () => {},
          closed: () => this.snoopers.delete(snooper),
        },
      );
      return snooper;
    });
  }

  /** `agent` is undefined while its connection still says hello. */
  copy(agent: Agent | undefined, bytes: Uint8Array): void {
    if (this.snoopers.size === 0 || (agent && agent !== this.mostImportant())) return;
    for (const snooper of [...this.snoopers]) {
      if (snooper.backlog > MAX_BACKLOG) snooper.close("snooper does not read");
      else snooper.sendRaw(bytes);
    }
  }

  close(): void {
    for (const snooper of [...this.snoopers]) snooper.close("bridge is going away");
    this.listener.close();
  }

  private mostImportant(): Agent | undefined {
    const rank = { primary: 3, equal: 2, secondary: 1 } as const;
    let best: Agent | undefined;
    for (const agent of this.agents) {
      if (agent.kind !== "primary") continue;
      if (!best || rank[agent.role] > rank[best.role]) best = agent;
    }
    return best;
  }
}
