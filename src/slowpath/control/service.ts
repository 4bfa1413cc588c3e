/**
 * One OpenFlow service of a bridge: a controller that it connects to, or a socket on which it takes
 * connections. Makes the connections, gives each its agent, and says how it is doing.
 *
 * An active service has at most one connection at a time; a passive one up to MAX_PASSIVE, one more
 * is refused. When settings change, existing connections take over what they can (probe interval,
 * back-off); anything else needs a new service, which the owner (services.ts) makes.
 */
import type { Logger } from "../../log/log.ts";
import type { OfMessage, Role } from "../../openflow/messages/types.ts";
import type { Tls } from "../../db/tls/tls.ts";
import type { Clock } from "../clock.ts";
import { Agent, type AgentKind } from "./agent.ts";
import type { Agents } from "./agents.ts";
import { Connection } from "./connection.ts";
import { Reconnector } from "./reconnect.ts";
import type { Stream, StreamEvents, StreamListener } from "./streams.ts";
import type { RateLimit } from "./rate-limit.ts";
import { resumeMonitors } from "./requests/monitors.ts";
import type { Switch } from "./switch.ts";
import { isPassive, type Target } from "./targets.ts";
import type { MessageLog } from "./message-log.ts";
import { listenAnyStreams, openAnyStream } from "./tls-streams.ts";

/** Connections that a passive service holds at once. */
export const MAX_PASSIVE = 64;
/** A controller that has been talking for this long is taken to have admitted the switch. */
const ADMITTED_AFTER_MS = 30_000;

export interface ServiceSettings {
  readonly kind: AgentKind;
  /** Bitmap of wire versions. */
  readonly versions: number;
  readonly probeMs: number;
  readonly maxBackoffMs: number;
  readonly enableAsync: boolean;
  readonly packetInQueue: number;
  readonly rateLimit?: RateLimit | undefined;
}

export interface ServiceContext {
  readonly bridge: Switch;
  readonly agents: Agents;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where it is told what connections ask for. */
  readonly requestLog: Logger;
  /** Where messages are told in words. */
  readonly messages: MessageLog | undefined;
  /** For targets over TLS. */
  readonly tls: Tls | undefined;
  /** Something that the database or the fail mode shows may have changed. */
  readonly changed: () => void;
  /** A message to or from a primary connection, for snoopers. */
  readonly snoop: (agent: Agent | undefined, bytes: Uint8Array) => void;
}

export interface ServiceStatus {
  readonly connected: boolean;
  readonly role: Exclude<Role, "nochange"> | undefined;
  readonly pairs: ReadonlyMap<string, string>;
}

export class Service {
  /** With their agents, once they have said hello. */
  private readonly connections = new Map<Connection, Agent | undefined>();
  private readonly reconnector: Reconnector | undefined;
  private readonly listener: StreamListener | undefined;
  private agent: Agent | undefined;
  /** Clock time at which the controller last showed that it has taken the switch in. */
  private admittedAt: number;

  /** Throws if a passive target cannot be listened on. */
  constructor(
    readonly name: string,
    readonly target: Target,
    private current: ServiceSettings,
    private readonly context: ServiceContext,
  ) {
    this.admittedAt = context.clock.now();
    if (isPassive(target)) {
      this.listener = listenAnyStreams(target, context.tls, (stream) => this.accept(stream));
    } else {
      this.reconnector = new Reconnector({
        clock: context.clock,
        log: context.log,
        name: `${context.bridge.name}<->${name}`,
        maxBackoffMs: current.maxBackoffMs,
        open: (makeEvents) => openAnyStream(target, context.tls, makeEvents),
        start: (stream, established) => this.start(stream, established),
      });
    }
  }

  get settings(): ServiceSettings {
    return this.current;
  }

  /** Port of a passive TCP service. */
  get port(): number | undefined {
    return this.listener?.port;
  }

  /** Takes new settings over if existing connections can live with them; false: make a new service. */
  reconfigure(settings: ServiceSettings): boolean {
    const { kind, versions, enableAsync, packetInQueue } = this.current;
    if (
      kind !== settings.kind || versions !== settings.versions ||
      enableAsync !== settings.enableAsync || packetInQueue !== settings.packetInQueue
    ) return false;
    this.current = settings;
    this.reconnector?.setMaxBackoff(settings.maxBackoffMs);
    for (const [connection, agent] of this.connections) {
      connection.setProbe(settings.probeMs);
      agent?.rateLimits.configure(settings.rateLimit);
    }
    return true;
  }

  /** How long the controller has been out of reach or has not admitted the switch, in ms. */
  get failureMs(): number {
    const { clock } = this.context;
    return this.isAdmitted ? 0 : clock.now() - this.admittedAt;
  }

  get isConnected(): boolean {
    return this.reconnector?.state === "CONNECTED";
  }

  /** The agent of the connection to the controller, when there is one. */
  get connected(): Agent | undefined {
    return this.agent;
  }

  private get isAdmitted(): boolean {
    const since = this.reconnector?.connectedAt;
    return this.isConnected && since !== undefined && this.admittedAt >= since;
  }

  status(): ServiceStatus {
    if (!this.reconnector) return { connected: false, role: undefined, pairs: new Map() };
    const pairs = new Map(this.reconnector.status());
    if (this.agent?.connection.state === "idle") pairs.set("state", "IDLE");
    for (const [name, value] of this.agent?.rateLimits.status() ?? []) pairs.set(name, value);
    return { connected: this.isConnected, role: this.agent?.role, pairs };
  }

  reconnect(): void {
    this.reconnector?.reconnect("reconnection was asked for");
  }

  close(): void {
    this.reconnector?.close();
    for (const connection of [...this.connections.keys()]) {
      connection.close("closed by configuration");
    }
    this.listener?.close();
  }

  private accept(stream: Stream): StreamEvents | undefined {
    if (this.connections.size >= MAX_PASSIVE) {
      this.context.log.warn(
        `${this.context.bridge.name}<->${this.name}: refusing a connection from ${stream.peer}: ` +
          `${MAX_PASSIVE} are open`,
      );
      return undefined;
    }
    return this.start(stream, () => {});
  }

  private start(stream: Stream, established: () => void): StreamEvents {
    const { bridge, agents, clock, log, changed, snoop } = this.context;
    const { kind, versions, probeMs, enableAsync, packetInQueue, rateLimit } = this.current;
    let agent: Agent | undefined;
    const connection: Connection = new Connection(stream, {
      clock,
      log,
      versions,
      probeMs,
      messages: this.context.messages,
      tunnelFields: agents.tlvTable,
    }, {
      opened: (version) => {
        established();
        agent = new Agent({
          kind,
          bridge,
          agents,
          connection,
          version,
          log: this.context.requestLog,
          enableAsync,
          packetInQueue,
          rateLimit,
        });
        this.connections.set(connection, agent);
        agents.add(agent);
        if (this.reconnector) this.agent = agent;
        agents.controllerStatus(agent, "channel_status");
        changed();
      },
      message: (decoded, bytes) => {
        this.noteAdmission(decoded.message);
        return agent?.handle(decoded, bytes);
      },
      drained: () => {
        if (agent) resumeMonitors(agent);
      },
      snoop: (bytes) => {
        if (kind === "primary") snoop(agent, bytes);
      },
      closed: () => {
        this.connections.delete(connection);
        if (agent) agents.remove(agent);
        if (this.agent === agent) this.agent = undefined;
        if (this.reconnector && agent) {
          agents.controllerChanged(
            { target: this.name, connected: false, agent: undefined },
            "channel_status",
          );
        }
        changed();
      },
    });
    this.connections.set(connection, undefined);
    return connection;
  }

  /**
   * A controller that only shakes hands may still turn the switch away. It has admitted it when it
   * sends a message with which it controls, or keeps talking for 30 s.
   */
  private noteAdmission(message: OfMessage): void {
    const now = this.context.clock.now();
    const since = this.reconnector?.connectedAt;
    if (since === undefined) return;
    if (!this.isAdmitted && !isControl(message) && now - since < ADMITTED_AFTER_MS) return;
    const wasAdmitted = this.isAdmitted;
    this.admittedAt = now;
    if (!wasAdmitted) this.context.changed();
  }
}

const HANDSHAKE: ReadonlySet<OfMessage["type"]> = new Set<OfMessage["type"]>([
  "hello",
  "error",
  "echo_request",
  "echo_reply",
  "features_request",
  "get_config_request",
  "set_config",
  "get_async_request",
  "queue_get_config_request",
  "table_features_request",
  "table_desc_request",
  "group_stats_request",
  "group_desc_request",
  "group_features_request",
]);

function isControl(message: OfMessage): boolean {
  return !HANDSHAKE.has(message.type);
}
