/**
 * TAP devices: network interfaces of the host whose other end is a descriptor of this process.
 *
 * With IFF_VNET_HDR each read and write carries the 10-byte virtio-net header before the frame, and
 * with TUNSETOFFLOAD the host's stack hands over unfinished checksums and segmentation
 * super-packets instead of doing that work. The device vanishes when the descriptor is closed.
 *
 * References: Documentation/networking/tuntap.rst, linux/if_tun.h.
 */
import { close, ERRNO, errno, ioctl, O_NONBLOCK, O_RDWR, open, raw, SystemError } from "./libc.ts";
import { RouteSocket } from "./rtnetlink.ts";

const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOFFLOAD = 0x400454d0;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
/** Refuse to attach to a TAP that exists already. */
const IFF_TUN_EXCL = 0x8000;
const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;
const TUN_F_TSO_ECN = 0x08;
const TUN_F_USO4 = 0x20;
const TUN_F_USO6 = 0x40;
const TCP_OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
const IFNAMSIZ = 16;

export interface Tap {
  /** Non-blocking: one read or write is one frame with its virtio-net header. */
  readonly fd: number;
  readonly ifindex: number;
}

export interface TapOptions {
  /** Ethernet address; the kernel picks one without it. */
  readonly mac?: Uint8Array | undefined;
  /** Attach to a TAP of that name if there is one, which nobody else holds. */
  readonly adopt?: boolean;
}

/** Whether the device outlives the descriptor. */
export function setTapPersistent(fd: number, persistent: boolean): void {
  ioctl(fd, TUNSETPERSIST, persistent ? 1 : 0, "TUNSETPERSIST");
}

/**
 * Makes a TAP device in the thread's namespace, down; closing the descriptor removes it. Throws a
 * SystemError: EBUSY or EINVAL if a device of that name exists.
 */
export function openTap(name: string, { mac, adopt = false }: TapOptions = {}): Tap {
  const nameBytes = new TextEncoder().encode(name);
  if (nameBytes.length === 0 || nameBytes.length >= IFNAMSIZ) {
    throw new SystemError("ioctl(TUNSETIFF)", ERRNO.EINVAL, `${name}: 1 to 15 bytes are allowed`);
  }
  const fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  try {
    const request = new Uint8Array(40);
    request.set(nameBytes);
    const flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (adopt ? 0 : IFF_TUN_EXCL);
    new DataView(request.buffer).setUint16(IFNAMSIZ, flags, true);
    ioctl(fd, TUNSETIFF, request, `TUNSETIFF ${name}`);
    // UDP segmentation is younger (Linux 6.2): do without where it is refused.
    if (raw.ioctl(fd, TUNSETOFFLOAD, TCP_OFFLOADS | TUN_F_USO4 | TUN_F_USO6) < 0) {
      if (errno() !== ERRNO.EINVAL) throw new SystemError("ioctl(TUNSETOFFLOAD)", errno(), name);
      ioctl(fd, TUNSETOFFLOAD, TCP_OFFLOADS, `TUNSETOFFLOAD ${name}`);
    }
    const route = new RouteSocket();
    try {
      const link = route.link(name);
      if (!link) throw new SystemError(`RTM_GETLINK ${name}`, ERRNO.ENODEV);
      if (mac) route.setLink(link.ifindex, { address: mac });
      return { fd, ifindex: link.ifindex };
    } finally {
      route.close();
    }
  } catch (error) {
    close(fd);
    throw error;
  }
}
