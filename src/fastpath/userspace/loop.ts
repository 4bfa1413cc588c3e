/**
 * The forwarding worker's loop: it moves packets.
 *
 *     +-> commands from the ring (flows, packets to execute, ports)
 *     |   frames of every active port, at most `BUDGET` each, sends done
 *     |   epoll: now and then while busy, sleeping in it when nothing is active
 *     +---------------'
 *
 * - A port becomes active when epoll says so, and stays so until it has nothing left.
 * - The loop never returns to the event loop, so requests come through the ring; answers leave by
 *   `postMessage`, which needs no loop on this side.
 * - Idle means blocked in epoll_wait with no timeout; the eventfd (commands, packets from other
 *   workers), link events and the ports wake it. A *busy* worker (`other_config:rx-mode=busy`) looks
 *   again instead.
 * - Worker 0 takes the packets that the others may not treat (handoff.ts), after its commands.
 * - An error of one port ends that port (`portLost`), never the loop.
 */
import { Epoll, EPOLLERR, EPOLLHUP } from "../../linux/epoll.ts";
import {
  close,
  ERRNO,
  errno,
  ifIndexExists,
  raw,
  readMonotonicMs,
  runOn,
  SystemError,
} from "../../linux/libc.ts";
import { decodeMessages } from "../../linux/netlink.ts";
import type { PacketDescriptors } from "../../linux/packet-socket.ts";
import type { SendRingDescriptor } from "../../linux/send-ring.ts";
import { decodeLink, openLinkEvents, RTM_DELLINK } from "../../linux/rtnetlink.ts";
import { shareConnections } from "../conntrack/kernel-maps.ts";
import { DatapathError } from "../datapath.ts";
import {
  CMD_BARRIER,
  CMD_CONTROL,
  CMD_DELETE_FLOW,
  CMD_EXECUTE,
  CMD_PUT_FLOW,
  CMD_REQUEST,
  type Control,
  refusal,
  type Request,
  type WorkerMessage,
  type WorkerStart,
} from "./commands.ts";
import { DevicePort } from "./device-port.ts";
import { Forwarder } from "./forwarder.ts";
import { Handoff, HandoffReader } from "./handoff.ts";
import { makePort } from "./make-port.ts";
import { PortCounters, type WorkerPort } from "./port.ts";
import type { Punts } from "../punts.ts";
import { deleteFlow, executePacket, type MaskRoom, putFlow } from "./packet-commands.ts";
import { PuntPort } from "./punt-port.ts";
import { SendingPort } from "./sending-port.ts";
import { RingReader } from "./ring.ts";
import type { OpenedPort } from "./setup.ts";
import {
  counterIndex,
  CTL_BACKLOG,
  CTL_BARRIER,
  CTL_MAIN_SLEEPING,
  CTL_WORKER_SLEEPING,
  SharedState,
} from "./shared.ts";

/** Frames taken from one port before the next one's turn. */
const BUDGET = 64;
/** Rounds between looks at epoll while ports are active. */
const ROUNDS_PER_POLL = 8;
const COMMANDS_PER_ROUND = 256;
const REMOVED = "the device was removed";
const HOUSEKEEPING_MS = 1000;
const MAX_EVENTS = 256;

/** Tags in the epoll set beside port numbers. */
const TAG_COMMANDS = 0x10000;
const TAG_LINKS = 0x10001;
const TAG_PUNTS = 0x10002;

const ROUNDS = counterIndex("rounds");
const SLEEPS = counterIndex("sleeps");
const FLOWS = counterIndex("flows");
const MASKS = counterIndex("masks");

const canAdoptRing = (port: WorkerPort): port is DevicePort | SendingPort =>
  port instanceof DevicePort || port instanceof SendingPort;

export type ForwardStart = Extract<WorkerStart, { role: "forward" }>;

export class WorkerLoop {
  private readonly shared: SharedState;
  private readonly forwarder: Forwarder;
  private readonly handoff: Handoff | undefined;
  private readonly handoffs: HandoffReader[] = [];
  private busy = false;
  private readonly ports = new Map<number, { port: WorkerPort; opened: OpenedPort }>();
  private readonly commands: RingReader;
  private readonly epoll = new Epoll(MAX_EVENTS);
  private readonly linkEvents = openLinkEvents();
  private readonly linkBuffer = new Uint8Array(64 * 1024);
  private readonly clock = new BigInt64Array(2);
  private readonly maskRoom: MaskRoom = [];
  private punts: PuntPort | undefined;
  private puntsWait = false;
  private active: WorkerPort[] = [];
  private readonly isActive = new Set<number>();
  /** Ports that were active since the last housekeeping. */
  private readonly touched = new Set<WorkerPort>();
  private housekeptMs = 0;
  private running = true;
  /** Ends the sharing of connections with programs in the kernel. */
  private unshare: (() => void) | undefined;

  /** `eventfd`: who puts something into a ring of a sleeping worker writes it. */
  constructor(
    { shared, eventfd, owner }: ForwardStart,
    private readonly post: (message: WorkerMessage) => void,
  ) {
    this.shared = new SharedState(shared);
    this.handoff = owner && new Handoff(owner);
    this.forwarder = new Forwarder(this.shared, this.handoff);
    this.commands = new RingReader(this.shared.commands);
    // It is never read: a write wakes, and that is all.
    this.epoll.add(eventfd, TAG_COMMANDS, true);
    this.epoll.add(this.linkEvents, TAG_LINKS);
  }

  run(): void {
    const { shared, forwarder } = this;
    for (let round = 0; this.running; round++) {
      shared.counters[ROUNDS]!++;
      forwarder.nowMs = readMonotonicMs(this.clock);
      this.runCommands();
      const handed = this.takeHandoffs();
      this.receive();
      this.handoff?.wake();
      this.wakeMain();
      if (this.active.length === 0 && !this.puntsWait && !handed) this.rest();
      else if (round % ROUNDS_PER_POLL === 0) this.poll(0);
      if (forwarder.nowMs - this.housekeptMs > HOUSEKEEPING_MS) this.keepHouse();
    }
    this.unshare?.();
    this.epoll.close();
    close(this.linkEvents);
  }

  private receive(): void {
    const { active } = this;
    if (this.puntsWait) this.receivePunts(this.punts!);
    let kept = 0;
    for (let i = 0; i < active.length; i++) {
      const port = active[i]!;
      if (port.receive(BUDGET) > 0) active[kept++] = port;
      else this.isActive.delete(port.portNo);
    }
    active.length = kept;
  }

  /** The main thread begins with the first while the others are read, or nothing is found to read. */
  private receivePunts(punts: PuntPort): void {
    this.puntsWait = punts.receive(1);
    this.wakeMain();
    if (this.puntsWait) this.puntsWait = punts.receive(BUDGET);
  }

  /** Packets of the other workers; true if there were any. */
  private takeHandoffs(): boolean {
    const { handoffs } = this;
    let any = false;
    for (let i = 0; i < handoffs.length; i++) {
      const from = handoffs[i]!;
      if (from.isEmpty()) continue;
      // What goes before them has been in the command ring before them.
      while (!this.commands.isEmpty()) this.runCommands();
      any = from.receive(this.forwarder, BUDGET) > 0 || any;
    }
    return any;
  }

  private rest(): void {
    if (this.busy) this.poll(0);
    else this.sleep();
  }

  private get isGivenNothing(): boolean {
    return this.commands.isEmpty() && this.handoffs.every((each) => each.isEmpty());
  }

  private sleep(): void {
    const { control, counters } = this.shared;
    Atomics.store(control, CTL_WORKER_SLEEPING, 1);
    if (this.isGivenNothing) {
      counters[SLEEPS]!++;
      // One more wake-up after traffic ends, to read the drop counts; then none.
      this.poll(this.touched.size > 0 ? HOUSEKEEPING_MS : -1);
    }
    Atomics.store(control, CTL_WORKER_SLEEPING, 0);
  }

  private poll(timeoutMs: number): void {
    const { epoll } = this;
    const n = epoll.wait(timeoutMs);
    for (let i = 0; i < n; i++) {
      const tag = epoll.tag(i);
      if (tag === TAG_COMMANDS) continue;
      if (tag === TAG_LINKS) this.readLinkEvents();
      else if (tag === TAG_PUNTS) this.puntsWait = true;
      else {
        const port = this.ports.get(tag)?.port;
        if (!port) continue;
        if (!this.isActive.has(tag)) {
          this.isActive.add(tag);
          this.active.push(port);
          this.touched.add(port);
        }
        if ((epoll.events(i) & (EPOLLERR | EPOLLHUP)) !== 0) {
          const reason = port.failed();
          if (reason !== undefined) this.lose(port, reason);
        }
      }
    }
  }

  private readLinkEvents(): void {
    const length = raw.recv(this.linkEvents, this.linkBuffer, this.linkBuffer.length, 0);
    if (length < 0) {
      if (errno() === ERRNO.ENOBUFS) this.findLostPorts();
      return;
    }
    for (const { type, payload } of decodeMessages(this.linkBuffer.subarray(0, length))) {
      // AF_BRIDGE messages tell of a bridge's port, not of the link.
      if (type !== RTM_DELLINK || payload[0] !== 0) continue;
      const { ifindex } = decodeLink(payload);
      for (const { port, opened } of this.ports.values()) {
        // A TAP tells of its end by its own descriptor. The event may also mean that somebody moved
        // it to another namespace, where it works on, and where the number may be another's here.
        if (port.ifindex !== ifindex) continue;
        if (opened.type !== "internal") this.lose(port, REMOVED);
        else if (opened.attachment) {
          this.freeFromProgram(port.portNo, opened);
        }
      }
    }
  }

  /** Programs redirect by numbers that mean other devices there: this process takes over. */
  private freeFromProgram(portNo: number, opened: OpenedPort & { type: "internal" }): void {
    const { tap, attachment } = opened;
    this.ports.get(portNo)!.opened = { type: "internal", tap };
    this.post({ type: "portMoved", portNo, attachment: attachment! });
  }

  /** Link events were lost: asks for each port. */
  private findLostPorts(): void {
    for (const { port } of this.ports.values()) {
      if (port.ifindex !== 0 && !ifIndexExists(port.ifindex)) this.lose(port, REMOVED);
    }
  }

  private lose(port: WorkerPort, reason: string): void {
    const [opened] = this.dropPort(port.portNo);
    if (opened) this.post({ type: "portLost", portNo: port.portNo, reason, port: opened });
  }

  /** Forgets a port; what is left of it is to be released elsewhere. */
  private dropPort(portNo: number): OpenedPort[] {
    const found = this.ports.get(portNo);
    if (!found) return [];
    this.active = this.active.filter((port) => port.portNo !== portNo);
    this.isActive.delete(portNo);
    this.touched.delete(found.port);
    this.ports.delete(portNo);
    this.forwarder.ports[portNo] = undefined;
    if (found.port.fd >= 0) this.epoll.remove(found.port.fd);
    found.port.end();
    return [found.opened];
  }

  private adoptPort(portNo: number, name: string, opened: OpenedPort): void {
    const { forwarder } = this;
    const counters = new PortCounters(this.shared, portNo);
    const port = makePort(portNo, name, opened, forwarder, counters, this.post);
    if (port.fd >= 0) this.epoll.add(port.fd, portNo);
    this.ports.set(portNo, { port, opened });
    forwarder.ports[portNo] = port;
    // It may have gone before this thread began to look for its link events.
    if (port.ifindex === 0 || ifIndexExists(port.ifindex)) return;
    this.dropPort(portNo);
    throw new DatapathError("no-device", `cannot add port ${name}: ${REMOVED}`);
  }

  private adoptPunts(punts: Punts): void {
    this.punts = new PuntPort(punts, this.forwarder);
    this.epoll.add(punts.fd, TAG_PUNTS);
  }

  private adoptSendRing(portNo: number, ifindex: number, sendRing: SendRingDescriptor): void {
    const found = this.ports.get(portNo);
    if (!found || !canAdoptRing(found.port) || found.port.ifindex !== ifindex) {
      throw new DatapathError("no-such-port", `port ${portNo} went before it got its ring`);
    }
    found.port.adoptSendRing(sendRing);
    if (found.opened.type === "device") found.opened = { ...found.opened, sendRing };
  }

  /** Gives back the socket that received before. */
  private adoptReceiver(
    portNo: number,
    instead: PacketDescriptors,
    packet: PacketDescriptors,
  ): OpenedPort {
    const found = this.ports.get(portNo);
    const { port, opened } = found ?? {};
    if (!(port instanceof DevicePort) || opened?.type !== "device" || port.fd !== instead.fd) {
      throw new DatapathError("no-such-port", `port ${portNo} went before it got its ring`);
    }
    this.epoll.add(packet.fd, portNo);
    this.epoll.remove(instead.fd);
    port.adoptReceiver(packet);
    found!.opened = { ...opened, packet };
    return { type: "device", part: true, packet: instead };
  }

  private runCommands(): void {
    const { commands } = this;
    const { control } = this.shared;
    let n = 0;
    for (; n < COMMANDS_PER_ROUND; n++) {
      const at = commands.next();
      if (at < 0) break;
      this.runCommand(at);
      commands.release();
    }
    if (n === 0) return;
    this.forwarder.flush();
    if (Atomics.load(control, CTL_BACKLOG) === 1) this.mustWakeMain = true;
  }

  private runCommand(at: number): void {
    const { forwarder, shared } = this;
    const { words, bytes } = this.commands.memory;
    const word = at >> 2;
    switch (words[word]) {
      case CMD_PUT_FLOW:
        putFlow(forwarder, words, word, this.maskRoom);
        this.countFlows();
        break;
      case CMD_DELETE_FLOW:
        deleteFlow(forwarder, words, word);
        this.countFlows();
        break;
      case CMD_EXECUTE:
        executePacket(forwarder, this.commands.memory, word);
        break;
      case CMD_BARRIER:
        forwarder.flush();
        Atomics.store(shared.control, CTL_BARRIER, words[word + 1]!);
        this.mustWakeMain = true;
        break;
      case CMD_REQUEST:
        forwarder.flush();
        this.answer(jsonAt(bytes, at + 8, words[word + 1]!) as Request);
        break;
      case CMD_CONTROL:
        this.control(jsonAt(bytes, at + 8, words[word + 1]!) as Control);
        break;
      default:
        throw new Error(`unknown worker command ${words[word]}`);
    }
  }

  private control(control: Control): void {
    const { forwarder } = this;
    switch (control.type) {
      case "setMeter":
        return forwarder.meters.set(control.id, control.meter);
      case "deleteMeter":
        return forwarder.meters.delete(control.id);
      case "vlanLimit":
        forwarder.frame.vlanLimit = control.limit;
        return;
      case "tunnelPort":
        if (control.kind) forwarder.tunnelPorts.set(control.portNo, control.kind);
        else forwarder.tunnelPorts.delete(control.portNo);
        return;
      case "conntrack":
        return forwarder.tracker.change(control.change, forwarder.nowMs);
      case "workers":
        for (let from = this.handoffs.length + 1; from < control.count; from++) {
          this.handoffs.push(new HandoffReader(this.shared, from));
        }
        return;
      case "tuning":
        this.busy = control.busy;
        runOn(control.cpu);
        return;
      default: {
        const never: never = control;
        throw new Error(`unknown control ${String(never)}`);
      }
    }
  }

  private countFlows(): void {
    const { counters } = this.shared;
    counters[FLOWS] = this.forwarder.table.flows;
    counters[MASKS] = this.forwarder.table.masks;
  }

  private answer(request: Request): void {
    const { id } = request;
    try {
      let ports: OpenedPort[] = [];
      switch (request.type) {
        case "adoptPort":
          this.adoptPort(request.portNo, request.name, request.opened);
          break;
        case "adoptSendRing":
          this.adoptSendRing(request.portNo, request.ifindex, request.ring);
          break;
        case "adoptReceiver":
          ports = [this.adoptReceiver(request.portNo, request.instead, request.packet)];
          break;
        case "adoptPunts":
          this.adoptPunts(request.punts);
          break;
        case "adoptConnections": {
          const { tracker, nowMs } = this.forwarder;
          this.unshare = shareConnections(tracker, request.connections, nowMs);
          break;
        }
        case "removePort":
          ports = this.dropPort(request.portNo);
          break;
        case "conntrack":
          this.post({
            type: "result",
            id,
            value: this.forwarder.tracker.answer(request.ask, this.forwarder.nowMs),
          });
          return;
        case "close":
          this.running = false;
          ports = [...this.ports.keys()].flatMap((portNo) => this.dropPort(portNo));
          break;
        default: {
          const never: never = request;
          throw new DatapathError("not-supported", String(never));
        }
      }
      this.post({ type: "answer", id, ports });
    } catch (error) {
      this.post(refusal(id, error));
    }
  }

  private mustWakeMain = false;
  private lastUpcalls = 0;

  /** Wakes the main thread if this round gave it something to do and it sleeps. */
  private wakeMain(): void {
    const { control, upcalls } = this.shared;
    const head = upcalls.control[0]!;
    if (head === this.lastUpcalls && !this.mustWakeMain) return;
    this.lastUpcalls = head;
    this.mustWakeMain = false;
    if (Atomics.compareExchange(control, CTL_MAIN_SLEEPING, 1, 0) === 1) this.post(0);
  }

  private keepHouse(): void {
    this.housekeptMs = this.forwarder.nowMs;
    this.forwarder.table.rank();
    for (const port of this.touched) {
      try {
        port.keepHouse();
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        this.lose(port, error.message);
      }
    }
    this.touched.clear();
    for (const port of this.active) this.touched.add(port);
  }
}

function jsonAt(bytes: Uint8Array, at: number, length: number): unknown {
  return JSON.parse(new TextDecoder().decode(new Uint8Array(bytes.subarray(at, at + length))));
}
