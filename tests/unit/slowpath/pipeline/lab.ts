/**
 * Bridges in memory over the datapath in memory: tables are filled, frames injected, and what leaves
 * each port is looked at. No network, no privilege, no real time.
 */
import { openMemoryDatapath } from "../../../../src/fastpath/memory/datapath.ts";
import { type Action } from "../../../../src/openflow/actions/types.ts";
import { GROUP_ANY, PORTS } from "../../../../src/openflow/version.ts";
import { LogSink } from "../../../../src/log/log.ts";
import { anyMatch, type Match } from "../../../../src/packet/key.ts";
import { FIELDS } from "../../../../src/packet/layout.ts";
import type { FieldName } from "../../../../src/packet/fields.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { MacTable } from "../../../../src/slowpath/bridge/learning.ts";
import { FlowCache } from "../../../../src/slowpath/cache/flow-cache.ts";
import type {
  BridgeModel,
  BundleModel,
  PacketIn,
  PatchPeer,
  PatchStats,
  PortConfig,
  PortModel,
  SnoopingModel,
  VlanConfig,
} from "../../../../src/slowpath/pipeline/model.ts";
import { type FlowModBody, FlowTables } from "../../../../src/slowpath/pipeline/tables.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export type Fields = Partial<Record<FieldName, number | bigint | readonly [bigint, bigint]>>;

export function match(fields: Fields): Match {
  const result = anyMatch();
  for (const [name, wanted] of Object.entries(fields)) {
    const field = FIELDS[name as FieldName];
    const ones = (1n << BigInt(field.bits)) - 1n;
    const [value, mask] = Array.isArray(wanted)
      ? wanted as [bigint, bigint]
      : [BigInt(wanted as number), ones];
    result.mask.setBig(field, result.mask.getBig(field) | mask);
    result.key.setBig(field, result.key.getBig(field) | (value & mask));
  }
  return result;
}

/** Every rule. */
export const ALL = {
  table: 0xff,
  match: anyMatch(),
  outPort: PORTS.ANY,
  outGroup: GROUP_ANY,
  cookie: 0n,
  cookieMask: 0n,
};

export interface FlowOptions extends Partial<Omit<FlowModBody, "match" | "actions">> {
  readonly match?: Fields;
  readonly actions?: readonly Action[];
}

export function flowMod(options: FlowOptions): FlowModBody {
  return {
    command: "add",
    table: 0,
    priority: 32768,
    cookie: 0n,
    cookieMask: 0n,
    newCookie: options.cookie ?? 0n,
    modifyCookie: false,
    idleTimeout: 0,
    hardTimeout: 0,
    importance: 0,
    flags: 0,
    outPort: PORTS.ANY,
    outGroup: GROUP_ANY,
    ...options,
    match: match(options.match ?? {}),
    actions: options.actions ?? [],
  };
}

export const out = (port: number, maxLength = 0): Action => ({ type: "output", port, maxLength });
export const set = (name: FieldName, value: number | bigint, mask?: bigint): Action => {
  const field = FIELDS[name];
  return {
    type: "set_field",
    field,
    value: BigInt(value),
    mask: mask ?? (1n << BigInt(field.bits)) - 1n,
    form: "set_field",
  };
};
export const resubmit = (table: number, port: number = PORTS.IN_PORT): Action => ({
  type: "resubmit",
  table,
  port,
  ct: false,
});

const CONFIG: PortConfig = {
  portDown: false,
  noStp: false,
  noRecv: false,
  noRecvStp: false,
  noFlood: false,
  noFwd: false,
  noPacketIn: false,
};
const TRUNK: VlanConfig = { mode: "trunk", tag: 0, trunks: undefined, priorityTags: "no" };

export interface PortOptions {
  readonly vlan?: Partial<VlanConfig>;
  readonly config?: Partial<PortConfig>;
  readonly protected?: boolean;
}

export class LabPort implements PortModel {
  dpPort: number | undefined;
  patchPeer: PatchPeer | undefined;
  patchStats: PatchStats | undefined;
  config: PortConfig;
  linkUp = true;
  bundle: Mutable<BundleModel>;

  constructor(readonly ofport: number, readonly name: string, options: PortOptions) {
    this.config = { ...CONFIG, ...options.config };
    this.bundle = {
      name,
      vlan: { ...TRUNK, ...options.vlan },
      protected: options.protected ?? false,
      members: [this],
    };
  }
}

export class LabBridge implements BridgeModel {
  readonly ports = new Map<number, LabPort>();
  readonly tables: FlowTables;
  readonly macs: MacTable<BundleModel>;
  forwardBpdu = false;
  standardPush = false;
  fragMode: "normal" | "drop" | "nx-match" = "normal";
  invalidTtlToController = false;
  oldController = false;
  readonly packetIns: PacketIn[] = [];
  snooping?: SnoopingModel;

  constructor(readonly name: string, clock: ManualClock) {
    this.tables = new FlowTables(clock);
    this.macs = new MacTable(clock);
  }
  get bundles(): BundleModel[] {
    return [...this.ports.values()].map(({ bundle }) => bundle);
  }
  wantsMisses(): boolean {
    return this.oldController;
  }
  packetIn(packetIn: PacketIn): void {
    this.packetIns.push(packetIn);
  }
  add(options: FlowOptions): void {
    this.tables.apply(flowMod(options));
  }
}

export class Lab {
  readonly clock = new ManualClock();
  readonly datapath = openMemoryDatapath({ now: () => this.clock.now() });
  readonly bridges: LabBridge[] = [];
  readonly cache: FlowCache;
  private readonly attachments = new Map<number, { bridge: LabBridge; port: LabPort }>();

  constructor() {
    this.cache = new FlowCache({
      datapath: this.datapath,
      clock: this.clock,
      log: new LogSink(() => {}).logger("test"),
      attachment: (dpPort) => this.attachments.get(dpPort),
      datapathNow: () => this.clock.now(),
    });
    this.datapath.listen({ upcall: this.cache.upcall, portLost: () => {} });
  }

  /** A bridge with a port of each number; NORMAL unless `tables` are wanted empty. */
  async bridge(name: string, ports: Record<number, PortOptions>, normal = false) {
    const bridge = new LabBridge(name, this.clock);
    this.bridges.push(bridge);
    for (const [number, options] of Object.entries(ports)) {
      await this.port(bridge, Number(number), options);
    }
    if (normal) bridge.add({ priority: 0, actions: [out(PORTS.NORMAL)] });
    this.cache.addBridge(bridge);
    await this.idle();
    return bridge;
  }

  async port(bridge: LabBridge, ofport: number, options: PortOptions = {}): Promise<LabPort> {
    const port = new LabPort(ofport, `${bridge.name}-${ofport}`, options);
    const { portNo } = await this.datapath.addPort({ name: port.name, type: "device" });
    port.dpPort = portNo;
    bridge.ports.set(ofport, port);
    this.attachments.set(portNo, { bridge, port });
    this.cache.changed();
    return port;
  }

  /** Joins two bridges by a pair of patch ports. */
  patch(a: LabBridge, aPort: number, b: LabBridge, bPort: number): void {
    const left = new LabPort(aPort, `${a.name}-patch`, {});
    const right = new LabPort(bPort, `${b.name}-patch`, {});
    for (const port of [left, right]) {
      port.patchStats = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0 };
    }
    left.patchPeer = { bridge: b, port: right };
    right.patchPeer = { bridge: a, port: left };
    a.ports.set(aPort, left);
    b.ports.set(bPort, right);
    this.cache.changed();
  }

  /** Lets everything that is under way come to an end. */
  async idle(): Promise<void> {
    for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Injects a frame; what left each OpenFlow port of all bridges, as `"br0:2" → frames`. */
  async send(
    bridge: LabBridge,
    ofport: number,
    data: Uint8Array,
  ): Promise<Map<string, Uint8Array[]>> {
    this.collect();
    this.datapath.inject(bridge.ports.get(ofport)!.dpPort!, { data });
    await this.idle();
    return this.collect();
  }

  collect(): Map<string, Uint8Array[]> {
    const seen = new Map<string, Uint8Array[]>();
    for (const bridge of this.bridges) {
      for (const port of bridge.ports.values()) {
        if (port.dpPort === undefined) continue;
        const packets = this.datapath.transmitted(port.dpPort);
        if (packets.length > 0) {
          seen.set(`${bridge.name}:${port.ofport}`, packets.map(({ data }) => data));
        }
      }
    }
    return seen;
  }
}
