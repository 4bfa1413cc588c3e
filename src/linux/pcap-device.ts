/**
 * Frames of one interface by libpcap: for hosts whose kernel refuses the packet sockets that
 * packet-socket.ts wants, and whose libpcap knows another way. It is opened when the first such port
 * comes and never linked, so nothing needs it to be there.
 *
 * - Plain frames without offload headers: VLAN tags are in their place (libpcap puts them back), but
 *   checksums that nobody has finished and super-packets arrive as they are.
 * - Nothing is received twice: frames that this host sends are left out (`PCAP_D_IN`).
 * - A handle is one thread's at a time; sending needs only its descriptor, and may happen in several.
 *
 * Reference: pcap(3PCAP) and the pages that it names.
 */
import { dlopen, read } from "bun:ffi";
import { address, ERRNO, errno, ifNameToIndex, raw, SystemError } from "./libc.ts";

const SYMBOLS = {
  pcap_activate: { args: ["ptr"], returns: "i32" },
  pcap_close: { args: ["ptr"], returns: "void" },
  pcap_create: { args: ["cstring", "ptr"], returns: "ptr" },
  pcap_datalink: { args: ["ptr"], returns: "i32" },
  pcap_get_selectable_fd: { args: ["ptr"], returns: "i32" },
  pcap_geterr: { args: ["ptr"], returns: "cstring" },
  pcap_inject: { args: ["ptr", "ptr", "u64"], returns: "i32" },
  pcap_next_ex: { args: ["ptr", "ptr", "ptr"], returns: "i32" },
  pcap_set_buffer_size: { args: ["ptr", "i32"], returns: "i32" },
  pcap_set_immediate_mode: { args: ["ptr", "i32"], returns: "i32" },
  pcap_set_promisc: { args: ["ptr", "i32"], returns: "i32" },
  pcap_set_snaplen: { args: ["ptr", "i32"], returns: "i32" },
  pcap_setdirection: { args: ["ptr", "i32"], returns: "i32" },
  pcap_setnonblock: { args: ["ptr", "i32", "ptr"], returns: "i32" },
  pcap_stats: { args: ["ptr", "ptr"], returns: "i32" },
} as const;

const NAMES = ["libpcap.so.0.8", "libpcap.so.1", "libpcap.so"];
const PCAP_D_IN = 1;
const PCAP_ERRBUF_SIZE = 256;
const PCAP_ERROR_NO_SUCH_DEVICE = -5;
const PCAP_ERROR_PERM_DENIED = -8;
const DLT_EN10MB = 1;
/** A super-packet with its Ethernet header and two tags. */
const SNAP_BYTES = 65_536 + 64;
/** libpcap reserves the snapshot's length for each frame where a device has offloads. */
const BUFFER_BYTES = 8 << 20;
const SIOCGIFMTU = 0x8921;
const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;

/** An interface that libpcap has opened: plain numbers, valid in every thread of the process. */
export interface PcapDescriptors {
  readonly ifindex: number;
  readonly name: string;
  /** `pcap_t *` */
  readonly handle: number;
  /** Readable when frames wait. */
  readonly fd: number;
}

function library() {
  for (const name of NAMES) {
    try {
      return dlopen(name, SYMBOLS).symbols;
    } catch {
      // Under another name, perhaps.
    }
  }
  throw new SystemError("dlopen(libpcap)", ERRNO.ENOSYS, "install libpcap0.8");
}

/** Opens an interface of the thread's namespace, promiscuous. Throws a SystemError. */
export function openPcapDevice(name: string): PcapDescriptors {
  const pcap = library();
  const message = new Uint8Array(PCAP_ERRBUF_SIZE);
  const handle = pcap.pcap_create(new TextEncoder().encode(`${name}\0`), message);
  if (handle === null) throw new SystemError("pcap_create", ERRNO.ENODEV, textOf(message));
  const check = (result: number, call: string): void => {
    if (result >= 0) return;
    throw new SystemError(call, errnoOf(result), String(pcap.pcap_geterr(handle)));
  };
  try {
    check(pcap.pcap_set_snaplen(handle, SNAP_BYTES), "pcap_set_snaplen");
    check(pcap.pcap_set_promisc(handle, 1), "pcap_set_promisc");
    check(pcap.pcap_set_immediate_mode(handle, 1), "pcap_set_immediate_mode");
    check(pcap.pcap_set_buffer_size(handle, BUFFER_BYTES), "pcap_set_buffer_size");
    check(pcap.pcap_activate(handle), "pcap_activate");
    check(pcap.pcap_setnonblock(handle, 1, message), "pcap_setnonblock");
    check(pcap.pcap_setdirection(handle, PCAP_D_IN), "pcap_setdirection");
    if (pcap.pcap_datalink(handle) !== DLT_EN10MB) {
      throw new SystemError("pcap_datalink", ERRNO.EOPNOTSUPP, `${name} is not Ethernet`);
    }
    const fd = pcap.pcap_get_selectable_fd(handle);
    check(fd, "pcap_get_selectable_fd");
    return { ifindex: ifNameToIndex(name), name, handle: Number(handle), fd };
  } catch (error) {
    pcap.pcap_close(handle);
    throw error;
  }
}

export function closePcapDevice({ handle }: PcapDescriptors): void {
  library().pcap_close(handle as never);
}

function errnoOf(result: number): number {
  if (result === PCAP_ERROR_NO_SUCH_DEVICE) return ERRNO.ENODEV;
  return result === PCAP_ERROR_PERM_DENIED ? ERRNO.EPERM : ERRNO.EOPNOTSUPP;
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, Math.max(0, bytes.indexOf(0))));
}

/** The use of one by the thread that moves the interface's frames. */
export class PcapDevice {
  private readonly pcap = library();
  private readonly handle: never;
  /** `struct pcap_pkthdr **` and `const u_char **` */
  private readonly header = new BigUint64Array(1);
  private readonly data = new BigUint64Array(1);
  private readonly headerAt = address(this.header) as never;
  private readonly dataAt = address(this.data) as never;
  private readonly statistics = new Uint32Array(3);
  private drops = 0;
  private readonly request: Uint8Array;

  constructor(private readonly descriptors: PcapDescriptors) {
    this.handle = descriptors.handle as never;
    this.request = new Uint8Array(IFREQ_BYTES);
    this.request.set(new TextEncoder().encode(descriptors.name).subarray(0, IFNAMSIZ - 1));
  }

  /**
   * Copies the next frame to the address `to`: its bytes; 0 if there is none, or libpcap has trouble
   * that passes; -1 for one that is longer than `room`, which is gone.
   */
  receive(to: number, room: number): number {
    if (this.pcap.pcap_next_ex(this.handle, this.headerAt, this.dataAt) !== 1) return 0;
    // struct pcap_pkthdr: timeval (16 bytes) · caplen u32 · len u32
    const header = Number(this.header[0]!) as never;
    const captured = read.u32(header, 16);
    if (captured < read.u32(header, 20) || captured > room) return -1;
    raw.memcpy(to, Number(this.data[0]!), captured);
    return captured;
  }

  /** Sends the frame at an address; 0, or an errno. */
  send(at: number, length: number): number {
    return this.pcap.pcap_inject(this.handle, at as never, length) >= 0 ? 0 : errno();
  }

  /** Frames that were lost since the last call because nobody took them. */
  takeDrops(): number {
    // struct pcap_stat: received u32 · dropped u32 · dropped by the interface u32
    if (this.pcap.pcap_stats(this.handle, this.statistics) < 0) return 0;
    const drops = (this.statistics[1]! - this.drops) >>> 0;
    this.drops = this.statistics[1]!;
    return drops;
  }

  /** 0 if it cannot be read. */
  mtu(): number {
    if (raw.ioctl(this.descriptors.fd, SIOCGIFMTU, this.request) < 0) return 0;
    return new DataView(this.request.buffer).getInt32(IFNAMSIZ, true);
  }
}
