/**
 * ethtool's ioctl: driver names, and link speed and duplex. An ioctl rather than sysfs, because
 * /sys shows the network namespace in which it was mounted, not the one the process is in.
 *
 * Reference: linux/ethtool.h, linux/sockios.h.
 */
import { address, close, O_CLOEXEC, raw, socket } from "./libc.ts";

const SIOCETHTOOL = 0x8946;
const ETHTOOL_GSET = 0x1;
const ETHTOOL_GDRVINFO = 0x3;
const AF_INET = 2;
const SOCK_DGRAM = 2;
const IFNAMSIZ = 16;

export interface DriverInfo {
  readonly driver: string;
  readonly version: string;
  readonly firmware: string;
}

/** A socket for ethtool ioctls in the network namespace where it was opened. */
export class Ethtool {
  private readonly fd = socket(AF_INET, SOCK_DGRAM | O_CLOEXEC, 0);
  /** struct ifreq: name 16 bytes, then a pointer to the command's structure. */
  private readonly request = new Uint8Array(40);
  private readonly data = new Uint8Array(256);

  /** Driver, or undefined for a device without ethtool support. */
  driver(name: string): DriverInfo | undefined {
    // struct ethtool_drvinfo: cmd u32, driver[32], version[32], fw_version[32], bus_info[32] …
    if (!this.run(name, ETHTOOL_GDRVINFO)) return undefined;
    return { driver: this.text(4), version: this.text(36), firmware: this.text(68) };
  }

  /** Speed in Mbit/s and duplex, or undefined when the device does not know. */
  link(name: string): { speedMbps: number; fullDuplex: boolean } | undefined {
    // struct ethtool_cmd: cmd u32 @0, supported @4, advertising @8, speed u16 @12, duplex u8 @14,
    // …, speed_hi u16 @28
    if (!this.run(name, ETHTOOL_GSET)) return undefined;
    const v = new DataView(this.data.buffer);
    const speedMbps = v.getUint16(12, true) | (v.getUint16(28, true) << 16);
    if (speedMbps <= 0 || speedMbps === 0xffff) return undefined;
    return { speedMbps, fullDuplex: this.data[14] === 1 };
  }

  close(): void {
    close(this.fd);
  }

  private run(name: string, command: number): boolean {
    const bytes = new TextEncoder().encode(name);
    if (bytes.length >= IFNAMSIZ) return false;
    this.request.fill(0);
    this.request.set(bytes);
    this.data.fill(0);
    new DataView(this.data.buffer).setUint32(0, command, true);
    const at = BigInt(address(this.data));
    new DataView(this.request.buffer).setBigUint64(IFNAMSIZ, at, true);
    return raw.ioctl(this.fd, SIOCETHTOOL, this.request) === 0;
  }

  private text(at: number): string {
    const bytes = this.data.subarray(at, at + 32);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }
}
