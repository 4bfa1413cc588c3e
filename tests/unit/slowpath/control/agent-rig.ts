/** A bridge with two ports over the datapath in memory, and OpenFlow connections to it by hand. */
import { DummyDevices } from "../../../../src/fastpath/devices.ts";
import { openMemoryDatapath } from "../../../../src/fastpath/memory/datapath.ts";
import { LogSink } from "../../../../src/log/log.ts";
import type { Action } from "../../../../src/openflow/actions/types.ts";
import type {
  Bucket,
  FlowMod,
  GroupMod,
  MessageOf,
  OfMessage,
} from "../../../../src/openflow/messages/types.ts";
import { GROUP_ANY, type OfVersion, PORTS } from "../../../../src/openflow/version.ts";
import { anyMatch } from "../../../../src/packet/key.ts";
import { Backend } from "../../../../src/slowpath/bridge/backend.ts";
import { Bridge } from "../../../../src/slowpath/bridge/bridge.ts";
import { ManualClock } from "../../../../src/slowpath/clock.ts";
import { Agent, type AgentKind } from "../../../../src/slowpath/control/agent.ts";
import { Connection } from "../../../../src/slowpath/control/connection.ts";
import { resumeMonitors } from "../../../../src/slowpath/control/requests/monitors.ts";
import { FakeStream } from "./fake-stream.ts";

export const output = (port: number, maxLength = 0): Action => ({
  type: "output",
  port,
  maxLength,
});

export const flowMod = (columns: Partial<FlowMod>): FlowMod => ({
  type: "flow_mod",
  command: "add",
  table: 0,
  match: anyMatch(),
  priority: 1,
  cookie: 0n,
  cookieMask: 0n,
  newCookie: 0n,
  modifyCookie: false,
  idleTimeout: 0,
  hardTimeout: 0,
  importance: 0,
  flags: 0,
  outPort: PORTS.ANY,
  outGroup: GROUP_ANY,
  actions: [],
  ...columns,
});

export const bucket = (id: number, columns: Partial<Bucket> = {}): Bucket => ({
  id,
  weight: 0,
  watchPort: PORTS.ANY,
  watchGroup: GROUP_ANY,
  actions: [],
  ...columns,
});

export const groupMod = (columns: Partial<GroupMod>): GroupMod => ({
  type: "group_mod",
  command: "add",
  groupType: "all",
  group: 1,
  buckets: [],
  ...columns,
});

export const error = (name: string) => [{ type: "error", error: name }] as const;

export class AgentRig {
  readonly clock = new ManualClock();
  readonly devices = new DummyDevices();
  readonly log = new LogSink(() => {}, "off").logger("test");
  readonly datapath = openMemoryDatapath({ now: () => this.clock.now() });
  readonly backend: Backend;
  readonly bridge: Bridge;

  constructor() {
    const { clock, datapath, devices, log } = this;
    this.backend = new Backend({
      datapath,
      clock,
      log,
      portLost: () => {},
      datapathNow: () => clock.now(),
    });
    this.bridge = new Bridge({
      name: "br0",
      backend: this.backend,
      devices,
      clock,
      log,
      runDir: "/nonexistent",
      statusChanged: () => {},
    });
  }

  static async create(): Promise<AgentRig> {
    const rig = new AgentRig();
    for (const [i, name] of ["p1", "p2"].entries()) {
      const { portNo } = await rig.datapath.addPort({ name, type: "device" });
      rig.bridge.attach({
        name,
        kind: "device",
        bundle: name,
        dpPort: portNo,
        ofport: i + 1,
        device: rig.devices.put(name),
      });
    }
    return rig;
  }

  async close(): Promise<void> {
    this.bridge.close();
    await this.backend.close();
  }

  connect(version: OfVersion, kind: AgentKind = "primary") {
    const stream = new FakeStream();
    const { clock, log, bridge } = this;
    let agent: Agent | undefined;
    const connection: Connection = new Connection(
      stream,
      { clock, log, versions: 1 << version, probeMs: 0 },
      {
        opened: () => {
          agent = new Agent({
            kind,
            bridge,
            agents: bridge.agents,
            connection,
            version,
            log,
            enableAsync: true,
            packetInQueue: 100,
          });
          bridge.agents.add(agent);
        },
        message: (decoded, bytes) => agent!.handle(decoded, bytes),
        drained: () => resumeMonitors(agent!),
        closed: () => {
          if (agent) bridge.agents.remove(agent);
        },
      },
    );
    stream.events = connection;
    stream.receive(version, { type: "hello", versions: 1 << version });
    stream.take();
    return {
      agent: agent!,
      stream,
      ask(message: OfMessage, xid = 100): OfMessage[] {
        stream.receive(version, message, xid);
        return stream.take();
      },
      packetIns: () =>
        stream.take().filter((m): m is MessageOf<"packet_in"> => m.type === "packet_in"),
    };
  }

  /** A packet arrives by p1; everything that follows from it happens. Lengths that left p2. */
  async arrive(data: Uint8Array): Promise<number[]> {
    await this.bridge.settle();
    this.datapath.transmitted(1);
    this.datapath.inject(0, { data });
    await this.bridge.settle();
    await new Promise((resolve) => setImmediate(resolve));
    return this.datapath.transmitted(1).map((packet) => packet.data.length);
  }
}
