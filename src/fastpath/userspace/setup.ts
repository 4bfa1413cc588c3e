/**
 * Opening and closing ports on the host. Runs in workers of its own, the *setup workers*.
 *
 * Why not where the packets are: making a ring, attaching a tc program and closing packet sockets
 * each wait for the kernel's RCU readers, 10 to 50 ms a port. In the forwarding worker that would
 * stop all other ports, on the main thread it would stop everything else. What is opened here is
 * plain numbers (descriptors, a mapped address), valid in every thread of the process.
 *
 * Everything made (sockets, TAP devices, tc programs) lives in descriptors, so it vanishes with the
 * process; only where tcx is missing (before Linux 6.6) does a tc filter stay behind after kill -9.
 */
import { attachTc, attachTcIngress, detachTc, type TcAttachment } from "../../linux/bpf.ts";
import { close, ERRNO, ifNameToIndex, munmap, SystemError } from "../../linux/libc.ts";
import {
  openPacketQueues,
  openPacketSocket,
  openSendingSocket,
  type PacketDescriptors,
  replacePacketSocket,
} from "../../linux/packet-socket.ts";
import { closePcapDevice, openPcapDevice, type PcapDescriptors } from "../../linux/pcap-device.ts";
import { SEND_RING_BYTES, type SendRingDescriptor } from "../../linux/send-ring.ts";
import { openTap, setTapPersistent, type Tap } from "../../linux/tap.ts";
import { TUNNEL_DEVICES } from "../../linux/tunnel-device.ts";
import { closeTunnelSockets, openTunnelSockets } from "../../linux/tunnel-socket.ts";
import { DatapathError, type TunnelWire } from "../datapath.ts";
import type { OpenedTunnel } from "./tunnel-port.ts";
import {
  type OpenedTunnelDevice,
  openTunnelDevice,
  releaseTunnelDevice,
} from "./tunnel-port-device.ts";
import type { PcapPortOptions } from "../pcap-replay.ts";
import type { PortRequest } from "./commands.ts";

/**
 * A port's resources, or one worker's *part* of them: its own receiving socket, if it has one, its own
 * ring to send by, and the right to send through what is another's.
 */
export type OpenedPort =
  | {
    readonly type: "device";
    readonly part?: true;
    readonly packet: PacketDescriptors;
    /** More receiving sockets, for other workers, which use `packet.sendFd`. */
    readonly queues?: readonly PacketDescriptors[];
    readonly sendRing?: SendRingDescriptor;
    /** Absent if the host's stack could not be kept away. */
    readonly attachment?: TcAttachment;
  }
  | {
    readonly type: "internal";
    readonly part?: true;
    readonly tap: Tap;
    readonly attachment?: TcAttachment;
  }
  /** Sockets of the host's IP stack that carry a tunnel. */
  | OpenedTunnel
  /** An interface by libpcap. */
  | {
    readonly type: "libpcap";
    readonly part?: true;
    readonly pcap: PcapDescriptors;
    readonly attachment?: TcAttachment;
  }
  /** Files, which the workers open. */
  | { readonly type: "pcap"; readonly part?: true; readonly pcap: PcapPortOptions }
  /** Only the ring, on its way to a port. */
  | { readonly type: "ring"; readonly sendRing: SendRingDescriptor };

/** Of the port's device; 0: it has none. */
export function ifindexOf(opened: Exclude<OpenedPort, { type: "ring" }>): number {
  switch (opened.type) {
    case "internal":
      return opened.tap.ifindex;
    case "device":
      return opened.packet.ifindex;
    case "libpcap":
      return opened.pcap.ifindex;
    case "tunnel":
      return opened.device?.ifindex ?? 0;
    case "pcap":
      return 0;
    default: {
      const never: never = opened;
      throw new Error(String(never));
    }
  }
}

/** Frames of a new port's ring, 2 KiB each: an idle port costs 256 KiB. */
const QUIET_FRAMES = 128;
/** Of one whose ring overflowed, and of each of several queues. */
export const BUSY_FRAMES = 1024;

/** Errors by which a kernel says that it has no packet sockets, or none of the kind. */
const NOT_THERE: ReadonlySet<number> = new Set([
  ERRNO.EAFNOSUPPORT,
  ERRNO.EPROTONOSUPPORT,
  ERRNO.ENOPROTOOPT,
  ERRNO.EOPNOTSUPP,
]);

export class PortSetup {
  /** `dropProgram`: drops for the host's stack; or why there is none. */
  constructor(
    private readonly dropProgram: number | string,
    private readonly log: (level: "warn" | "info" | "dbg", text: string) => void,
  ) {}

  /** Throws a DatapathError that says what to do. */
  open(request: PortRequest): OpenedPort {
    const { name } = request;
    try {
      switch (request.portType) {
        case "internal":
          return this.openInternal(request);
        case "tunnel":
          return this.openTunnel(request);
        case "pcap":
          if (!request.pcap) throw new DatapathError("not-supported", `${name}: no files`);
          return { type: "pcap", pcap: request.pcap };
        case "device": {
          const ifindex = ifNameToIndex(name);
          if (ifindex === 0) throw new DatapathError("no-device", `there is no device ${name}`);
          if (request.program !== undefined) {
            return this.openSending(ifindex, request.program, request);
          }
          return this.openDevice(ifindex, request);
        }
        default: {
          const never: never = request.portType;
          throw new DatapathError("not-supported", `unknown port type ${String(never)}`);
        }
      }
    } catch (error) {
      throw error instanceof SystemError ? explain(error, request) : error;
    }
  }

  private openDevice(ifindex: number, { name, queues: count = 1, io }: PortRequest): OpenedPort {
    if (io === "libpcap") return this.openByLibpcap(ifindex, name);
    let opened: PacketDescriptors[];
    try {
      opened = count > 1
        ? openPacketQueues(ifindex, BUSY_FRAMES, count)
        : [openPacketSocket(ifindex, QUIET_FRAMES)];
    } catch (error) {
      if (!(error instanceof SystemError) || !NOT_THERE.has(error.errno)) throw error;
      this.log("warn", `${name}: no packet sockets (${error.message}): libpcap is used instead`);
      return this.openByLibpcap(ifindex, name);
    }
    const [packet, ...queues] = opened;
    const attachment = this.keepFromHost(name, ifindex);
    return { type: "device", packet: packet!, queues, ...(attachment && { attachment }) };
  }

  private openByLibpcap(ifindex: number, name: string): OpenedPort {
    const pcap = openPcapDevice(name);
    const attachment = this.keepFromHost(name, ifindex);
    return { type: "libpcap", pcap, ...(attachment && { attachment }) };
  }

  /** A larger ring for a port's only receiving socket; who uses it is to change over. */
  grow(packet: PacketDescriptors): OpenedPort {
    return { type: "device", part: true, packet: replacePacketSocket(packet, BUSY_FRAMES) };
  }

  private openInternal(
    { name, mac, program, adopted, persistent, clsact }: PortRequest,
  ): OpenedPort {
    const tap = openTap(name, { mac: mac && new Uint8Array(mac), adopt: adopted !== undefined });
    if (program === undefined) return { type: "internal", tap };
    try {
      const attachment = adopted ?? attachTc(program, tap.ifindex, "egress", clsact);
      if (persistent) setTapPersistent(tap.fd, true);
      return { type: "internal", tap, attachment };
    } catch (error) {
      close(tap.fd);
      throw error;
    }
  }

  private openSending(
    ifindex: number,
    program: number,
    { adopted, clsact }: PortRequest,
  ): OpenedPort {
    const packet = openSendingSocket(ifindex);
    try {
      const attachment = adopted ?? attachTc(program, ifindex, "ingress", clsact);
      return { type: "device", packet, attachment };
    } catch (error) {
      close(packet.sendFd);
      throw error;
    }
  }

  /**
   * Closes what `open` made; the forwarding worker has let go of it. With `leave`, programs that are
   * pinned and persistent TAP devices stay where they are.
   */
  release(port: OpenedPort, leave = false): void {
    const detach = (attachment: TcAttachment): void => {
      if (!leave) detachTc(attachment);
      else if (attachment.kind === "tcx") close(attachment.fd);
    };
    switch (port.type) {
      case "internal":
        if (port.part) return;
        if (port.attachment) {
          detach(port.attachment);
          if (!leave) setTapPersistent(port.tap.fd, false);
        }
        return close(port.tap.fd);
      case "tunnel":
        closeTunnelSockets(port.sockets);
        if (port.device) releaseTunnelDevice(port.device, leave);
        return;
      case "pcap":
        return;
      case "libpcap":
        if (port.part) return;
        closePcapDevice(port.pcap);
        if (port.attachment) detachTc(port.attachment);
        return;
      case "ring":
        munmap(port.sendRing.address, SEND_RING_BYTES);
        return close(port.sendRing.fd);
      case "device": {
        const { packet, queues = [], sendRing, attachment } = port;
        for (const { fd } of [packet, ...queues]) if (fd >= 0) close(fd);
        if (sendRing) close(sendRing.fd);
        if (port.part) return;
        close(packet.sendFd);
        // What keeps frames from the host serves only who receives them here.
        if (attachment) packet.fd >= 0 ? detachTc(attachment) : detach(attachment);
        return;
      }
      default: {
        const never: never = port;
        throw new Error(String(never));
      }
    }
  }

  private openTunnel(request: PortRequest): OpenedPort {
    const { name, tunnel } = request;
    if (!tunnel) throw new DatapathError("not-supported", `tunnel port ${name} has no kind`);
    const { kind, wire, sendOnly = false } = tunnel;
    const select = kind === "erspan" ? "erspan" : "gre";
    const device = this.tryTunnelDevice(request, wire);
    try {
      const byDevice = device ? TUNNEL_DEVICES[request.device!.kind].families : "none";
      const sockets = openTunnelSockets(wire.udpPort, select, { ...wire, byDevice, sendOnly });
      return { type: "tunnel", kind, wire, sockets, ...(device && { device }) };
    } catch (error) {
      if (device) releaseTunnelDevice(device, false);
      throw error;
    }
  }

  /** Where the kernel has no device for it, sockets do the same at a higher price. */
  private tryTunnelDevice(request: PortRequest, wire: TunnelWire): OpenedTunnelDevice | undefined {
    try {
      return openTunnelDevice(request, wire);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      const level = error.errno === ERRNO.EOPNOTSUPP ? "info" : "warn";
      this.log(level, `${request.name}: tunnelled packets go through userspace: ${error.message}`);
      return undefined;
    }
  }

  /** Drops the device's frames before the host's stack; without that the host answers them too. */
  private keepFromHost(name: string, ifindex: number): TcAttachment | undefined {
    try {
      if (typeof this.dropProgram === "string") throw new Error(this.dropProgram);
      const attachment = attachTcIngress(this.dropProgram, ifindex);
      this.log("dbg", `${name}: kept from the host's stack by ${attachment.kind}`);
      return attachment;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.log(
        "warn",
        `${name}: the host's own network stack also sees what arrives on this device, because no ` +
          `tc program can be attached (${reason}); remove its addresses, or run with CAP_BPF and ` +
          "CAP_NET_ADMIN on Linux 4.5 or later",
      );
      return undefined;
    }
  }
}

function explain(error: SystemError, { name, portType }: PortRequest): DatapathError {
  const what = `cannot add ${portType} port ${name}: ${error.message}`;
  switch (error.errno) {
    case ERRNO.EPERM:
    case ERRNO.EACCES:
      return new DatapathError("permission", `${what}; run as root or with CAP_NET_ADMIN`);
    case ERRNO.ENODEV:
    case ERRNO.ENXIO:
      return new DatapathError("no-device", what);
    case ERRNO.ENOENT:
      return new DatapathError("not-supported", `${what}; is the tun module loaded?`);
    case ERRNO.EADDRINUSE:
      return new DatapathError(
        "exists",
        `${what}; another program, or a tunnel device of the kernel, has that port`,
      );
    case ERRNO.EBUSY:
    case ERRNO.EEXIST:
      return new DatapathError("exists", `${what}; a device of that name exists already`);
    default:
      return new DatapathError("system", what);
  }
}
