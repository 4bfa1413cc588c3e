/**
 * What a bridge does without its controllers (ovs-vswitchd.conf.db(5), Bridge `fail_mode`).
 *
 * - No controller configured, standalone (the default): one flow, priority 0, NORMAL. Visible, and
 *   the user's to change or delete.
 * - No controller configured, secure: no flows.
 * - Controllers configured: no flows of the switch's own. When in standalone mode none of them could
 *   be reached, or none has admitted the switch, for three times the longest inactivity probe, the
 *   switch *fails open*: all flows go, and a hidden rule above every priority makes it a learning
 *   switch until a controller is there and takes over. While one is connected but has not done so,
 *   a bogus packet-in every 2 s gives it the occasion.
 * - All flows go when the first controller is configured or the last one removed.
 *
 * Open vSwitch: `ofproto/fail-open.c`, `connmgr_flushed`.
 */
import type { Logger } from "../../log/log.ts";
import type { Action } from "../../openflow/actions/types.ts";
import { PORTS } from "../../openflow/version.ts";
import { anyMatch, FlowKey } from "../../packet/key.ts";
import { FIELDS } from "../../packet/layout.ts";
import type { Clock } from "../clock.ts";
import type { PacketIn } from "../pipeline/model.ts";
import type { Rule } from "../pipeline/rule.ts";
import type { FlowTables } from "../pipeline/tables.ts";

export type FailMode = "standalone" | "secure";

/** Above every priority that a flow-mod can give, and above in-band control's. */
const FAIL_OPEN_PRIORITY = 0xf0f0f0;
const CHECK_MS = 1000;
const BOGUS_PACKET_IN_MS = 2000;

const NORMAL: Action = { type: "output", port: PORTS.NORMAL, maxLength: 0 };

export interface ControllerHealth {
  /** Controllers that the bridge depends on are configured. */
  readonly hasControllers: boolean;
  /** The shortest time for which such a controller has been out of reach, ms. */
  readonly failureMs: number;
  readonly maxProbeMs: number;
  readonly anyConnected: boolean;
}

export interface FailModeContext {
  readonly bridge: string;
  readonly tables: FlowTables;
  readonly clock: Clock;
  readonly log: Logger;
  readonly health: () => ControllerHealth;
  readonly packetIn: (packetIn: PacketIn) => void;
}

export class FailModeKeeper {
  private mode: FailMode | undefined;
  private hadControllers: boolean | undefined;
  private openRule: Rule | undefined;
  private lastBogusAt = Number.NEGATIVE_INFINITY;
  private cancelTimer: () => void = () => {};

  constructor(private readonly context: FailModeContext) {}

  get configured(): FailMode {
    return this.mode ?? "standalone";
  }

  get isOpen(): boolean {
    return this.openRule !== undefined;
  }

  /** Takes the configured mode over; to be called after the controllers were configured. */
  configure(mode: FailMode): void {
    const { hasControllers } = this.context.health();
    const controllersChanged = hasControllers !== this.hadControllers;
    const modeChanged = mode !== this.mode;
    this.mode = mode;
    this.hadControllers = hasControllers;
    if (controllersChanged || (modeChanged && !hasControllers)) this.restart();
    if (modeChanged && mode === "secure" && this.openRule) this.recover();
    this.check();
  }

  /** Looks whether to fail open or to recover; called by itself every second while it matters. */
  check(): void {
    this.cancelTimer();
    this.cancelTimer = () => {};
    const { health, clock } = this.context;
    const { hasControllers, failureMs, maxProbeMs, anyConnected } = health();
    if (this.mode !== "standalone" || !hasControllers) return;
    if (this.openRule && failureMs === 0) this.recover();
    else if (!this.openRule && failureMs > 0 && failureMs >= maxProbeMs * 3) this.open(failureMs);
    if (this.openRule && anyConnected && clock.now() - this.lastBogusAt >= BOGUS_PACKET_IN_MS) {
      this.lastBogusAt = clock.now();
      this.context.packetIn(bogusPacketIn());
    }
    this.cancelTimer = clock.after(CHECK_MS, () => this.check());
  }

  close(): void {
    this.cancelTimer();
  }

  /** Removes all flows and puts back the switch's own (`ofproto_flush_flows`). */
  flush(): void {
    this.restart();
  }

  private restart(): void {
    const { tables } = this.context;
    const wasOpen = this.openRule !== undefined;
    tables.flush();
    this.openRule = undefined;
    if (this.hadControllers) {
      if (wasOpen) this.addOpenRule();
    } else if (this.mode === "standalone") {
      tables.addOwn({ ...SPEC, priority: 0 }, anyMatch());
    }
  }

  private open(failureMs: number): void {
    const { tables, log, bridge } = this.context;
    log.warn(
      `${bridge}: could not connect to controller (or switch failed controller's post-connection ` +
        `admission control policy) for ${Math.floor(failureMs / 1000)} seconds, failing open`,
    );
    tables.flush();
    this.addOpenRule();
  }

  private addOpenRule(): void {
    this.openRule = this.context.tables.addOwn(
      { ...SPEC, priority: FAIL_OPEN_PRIORITY },
      anyMatch(),
    );
  }

  private recover(): void {
    if (!this.openRule) return;
    this.context.log.warn(`${this.context.bridge}: no longer in fail-open mode`);
    this.context.tables.removeOwn(this.openRule);
    this.openRule = undefined;
    this.lastBogusAt = Number.NEGATIVE_INFINITY;
  }
}

const SPEC = {
  table: 0,
  cookie: 0n,
  idleTimeout: 0,
  hardTimeout: 0,
  importance: 0,
  flags: 0,
  actions: [NORMAL],
} as const;

/** A reverse ARP request from an address that nobody has, as if it had come in by LOCAL. */
function bogusPacketIn(): PacketIn {
  const mac = crypto.getRandomValues(new Uint8Array(6));
  mac.set([0x00, 0x23, 0x20]);
  mac[3]! |= 0x80;
  const data = new Uint8Array(60);
  data.fill(0xff, 0, 6);
  data.set(mac, 6);
  // Ethertype RARP; Ethernet, IPv4, lengths 6 and 4, operation "request reverse".
  data.set([0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3], 12);
  data.set(mac, 22);
  data.set(mac, 32);
  const key = new FlowKey();
  key.set(FIELDS.in_port, PORTS.LOCAL);
  return {
    reason: "no_match",
    packet: { data },
    key,
    tableId: 0,
    cookie: 0xffffffffffffffffn,
    maxLen: 0xffff,
    controllerId: 0,
    userdata: undefined,
    bufferable: false,
    meterId: undefined,
  };
}
