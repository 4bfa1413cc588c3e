/**
 * In-band control: controllers that are reached through the bridge itself must be, whatever the flows
 * are (ovs-vswitchd.conf.db(5), Controller `connection_mode`; Open vSwitch Documentation/topics/design,
 * "In-Band Control"). Hidden rules above every priority that a flow-mod can give let NORMAL have:
 *
 *     of the bridge                      of each controller's address
 *     (a) DHCP requests from LOCAL       (f) ARP replies about it      (h) TCP to it
 *     (b) ARP replies to LOCAL           (g) ARP requests of it        (i) TCP from it
 *     (c) ARP requests from LOCAL
 *                                        of the next hop to it
 *                                        (d) ARP replies to it         (e) ARP requests from it
 *
 * - In-band is the default: `connection_mode=out-of-band` excepts one controller, Bridge
 *   `other_config:disable-in-band=true` the bridge. `other_config:in-band-queue` has the rules' packets
 *   leave by that queue. Managers count as controllers, those on this host excepted.
 * - The next hop is the host's: its routes and neighbours are asked every ten seconds, every second
 *   while an Ethernet address is not known.
 * - What a DHCP server answers a client reaches LOCAL whatever the flows do with it (inbandDhcp).
 *
 * Limits: IPv4 addresses, as in Open vSwitch, and no host names.
 */
import type { Action } from "../../openflow/actions/types.ts";
import { setMatchExact } from "../../openflow/match-set.ts";
import { PORTS } from "../../openflow/version.ts";
import { anyMatch, type Match } from "../../packet/key.ts";
import { type Field, FIELDS } from "../../packet/layout.ts";
import type { Clock } from "../clock.ts";
import type { Rule } from "../pipeline/rule.ts";
import type { FlowTables } from "../pipeline/tables.ts";
import type { Target } from "./targets.ts";

const PRIORITY = {
  fromLocalDhcp: 180_000,
  toLocalArp: 180_001,
  fromLocalArp: 180_002,
  toNextHopArp: 180_003,
  fromNextHopArp: 180_004,
  toRemoteArp: 180_005,
  fromRemoteArp: 180_006,
  toRemoteTcp: 180_007,
  fromRemoteTcp: 180_008,
} as const;

const ETH_IPV4 = 0x0800;
const ETH_ARP = 0x0806;
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const UDP = 17;
const TCP = 6;
const DHCP_CLIENT = 68;
const DHCP_SERVER = 67;
const KNOWN_REFRESH_MS = 10_000;
const UNKNOWN_REFRESH_MS = 1_000;

export interface Remote {
  /** IPv4, as a number. */
  readonly address: number;
  readonly port: number;
}

export interface InBandConfig {
  readonly remotes: readonly Remote[];
  readonly queue: number | undefined;
}

interface Wanted {
  readonly priority: number;
  readonly match: Match;
}

/** The Ethernet address of the next hop to an IPv4 address, if it is known. */
export type NextHopMac = (address: number) => Uint8Array | undefined;

export class InBand {
  private readonly rules = new Set<Rule>();
  private config: InBandConfig = { remotes: [], queue: undefined };
  private mac = new Uint8Array(6);
  private cancelRefresh: () => void = () => {};
  private state = "";
  private wanted: readonly Wanted[] = [];
  private queue: number | undefined;
  private readonly unlisten: () => void;
  private healing = false;

  constructor(
    private readonly tables: FlowTables,
    private readonly clock: Pick<Clock, "after">,
    private readonly nextHopMac: NextHopMac,
  ) {
    // Whoever empties the tables does not mean these rules.
    this.unlisten = tables.listen((changes) => {
      if (this.healing) return;
      this.healing = changes.some((change) =>
        change.event === "removed" && this.rules.has(change.rule)
      );
      if (this.healing) queueMicrotask(() => this.put());
    });
  }

  /** Is some controller to be reached through the bridge? */
  get isOn(): boolean {
    return this.config.remotes.length > 0;
  }

  close(): void {
    this.cancelRefresh();
    this.unlisten();
    this.wanted = [];
  }

  /** Puts the rules in place that there must be; none without remotes. `mac`: LOCAL's address. */
  configure(config: InBandConfig, mac: Uint8Array): void {
    this.config = config;
    this.mac = Uint8Array.from(mac);
    this.refresh();
  }

  private refresh(): void {
    this.cancelRefresh();
    const { remotes, queue } = this.config;
    const hops = new Map<string, Uint8Array>();
    let isComplete = true;
    for (const { address } of remotes) {
      const hop = this.nextHopMac(address);
      if (hop) hops.set(hop.toHex(), hop);
      else isComplete = false;
    }
    const state = remotes.length === 0
      ? ""
      : JSON.stringify([remotes, queue, [...this.mac], [...hops.keys()]]);
    if (remotes.length > 0) {
      const waitMs = isComplete ? KNOWN_REFRESH_MS : UNKNOWN_REFRESH_MS;
      this.cancelRefresh = this.clock.after(waitMs, () => this.refresh());
    }
    if (state === this.state) return;
    this.state = state;
    this.queue = queue;
    this.wanted = remotes.length === 0 ? [] : distinct([
      ...ofBridge(this.mac),
      ...[...hops.values()].flatMap(ofNextHop),
      ...remotes.flatMap(ofRemote),
    ]);
    this.put();
  }

  /** All of the rules, in the place of those that there are. */
  private put(): void {
    this.healing = true;
    this.tables.transaction(() => {
      for (const rule of this.rules) this.tables.removeOwn(rule);
      this.rules.clear();
      for (const { priority, match } of this.wanted) this.rules.add(this.add(priority, match));
    });
    this.healing = false;
  }

  private add(priority: number, match: Match): Rule {
    const normal: Action = { type: "output", port: PORTS.NORMAL, maxLength: 0 };
    const { queue } = this;
    const actions: Action[] = queue === undefined
      ? [normal]
      : [{ type: "set_queue", queue }, normal];
    const spec = { table: 0, priority, cookie: 0n, idleTimeout: 0, hardTimeout: 0 };
    return this.tables.addOwn({ ...spec, importance: 0, flags: 0, actions }, match);
  }
}

/** The address of a target that in-band rules can be made for. */
export function remoteOf(target: Target): Remote | undefined {
  if (target.kind !== "tcp" && target.kind !== "ssl") return undefined;
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(target.host);
  if (!parts) return undefined;
  const bytes = parts.slice(1).map(Number);
  if (bytes.some((byte) => byte > 255)) return undefined;
  return { address: bytes.reduce((sum, byte) => sum * 256 + byte, 0), port: target.port };
}

const matchOf = (...fields: readonly (readonly [Field, number | bigint])[]): Match => {
  const match = anyMatch();
  for (const [field, value] of fields) setMatchExact(match, field, value);
  return match;
};

/** Each match once: two ports of one address have its ARP in common. */
function distinct(wanted: readonly Wanted[]): Wanted[] {
  const byMatch = new Map<string, Wanted>();
  for (const each of wanted) {
    const { key, mask } = each.match;
    const text = `${each.priority}/${key.bytes.toHex()}/${mask.bytes.toHex()}`;
    if (!byMatch.has(text)) byMatch.set(text, each);
  }
  return [...byMatch.values()];
}

const numberOf = (mac: Uint8Array): bigint =>
  mac.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);

const ethernetArp = (side: Field, mac: bigint, operation: number): Match =>
  matchOf([side, mac], [FIELDS.eth_type, ETH_ARP], [FIELDS.arp_op, operation]);

function ofNextHop(mac: Uint8Array): Wanted[] {
  const hop = numberOf(mac);
  return [
    { priority: PRIORITY.toNextHopArp, match: ethernetArp(FIELDS.eth_dst, hop, ARP_REPLY) },
    { priority: PRIORITY.fromNextHopArp, match: ethernetArp(FIELDS.eth_src, hop, ARP_REQUEST) },
  ];
}

function ofBridge(mac: Uint8Array): Wanted[] {
  const local = numberOf(mac);
  const dhcp = matchOf(
    [FIELDS.in_port_oxm, PORTS.LOCAL],
    [FIELDS.eth_src, local],
    [FIELDS.eth_type, ETH_IPV4],
    [FIELDS.nw_proto, UDP],
    [FIELDS.udp_src, DHCP_CLIENT],
    [FIELDS.udp_dst, DHCP_SERVER],
  );
  return [
    { priority: PRIORITY.fromLocalDhcp, match: dhcp },
    { priority: PRIORITY.toLocalArp, match: ethernetArp(FIELDS.eth_dst, local, ARP_REPLY) },
    { priority: PRIORITY.fromLocalArp, match: ethernetArp(FIELDS.eth_src, local, ARP_REQUEST) },
  ];
}

function ofRemote({ address, port }: Remote): Wanted[] {
  const arp = (side: Field, operation: number): Match =>
    matchOf([FIELDS.eth_type, ETH_ARP], [FIELDS.arp_op, operation], [side, address]);
  const tcp = (side: Field, portField: Field): Match =>
    matchOf([FIELDS.eth_type, ETH_IPV4], [FIELDS.nw_proto, TCP], [side, address], [
      portField,
      port,
    ]);
  return [
    { priority: PRIORITY.toRemoteArp, match: arp(FIELDS.arp_tpa, ARP_REPLY) },
    { priority: PRIORITY.fromRemoteArp, match: arp(FIELDS.arp_spa, ARP_REQUEST) },
    { priority: PRIORITY.toRemoteTcp, match: tcp(FIELDS.ip_dst, FIELDS.tcp_dst) },
    { priority: PRIORITY.fromRemoteTcp, match: tcp(FIELDS.ip_src, FIELDS.tcp_src) },
  ];
}
