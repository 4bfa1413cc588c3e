/**
 * A tunnel Interface's `options`, read and checked as Open vSwitch checks them: what is wrong with one
 * option is said in a warning and leaves its default; what leaves no usable tunnel is an error.
 *
 * Addresses are 16 bytes, IPv4 ones mapped (::ffff:a.b.c.d), so that both families are compared alike.
 */
import { isMappedIpv4, parseAddress } from "../../packet/prefix.ts";
import { TUNNEL_TYPES, type TunnelKindRow, type TunnelType } from "./kinds.ts";

/** How packets without an Ethernet header come and go: ovs-fields(7), "packet_type". */
export type PacketTypeMode = "legacy_l2" | "legacy_l3" | "ptap";

/** A key, an address or a field that the configuration gives, or leaves to each flow. */
export type OrFlow<T> = T | "flow" | undefined;

export interface TunnelConfig {
  readonly type: TunnelType;
  readonly remote: Uint8Array | "flow";
  /** Undefined: any on receiving, the route's own on sending. */
  readonly local: OrFlow<Uint8Array>;
  /** Undefined: no key. */
  readonly inKey: OrFlow<bigint>;
  readonly outKey: OrFlow<bigint>;
  readonly dstPort: number;
  readonly tos: number | "inherit";
  readonly ttl: number | "inherit";
  readonly dontFragment: boolean;
  readonly checksum: boolean;
  readonly sequence: boolean;
  readonly packetType: PacketTypeMode;
  readonly gbp: boolean;
  readonly gpe: boolean;
  readonly egressMark: number | undefined;
  readonly erspan: {
    readonly version: number | "flow";
    readonly index: number | "flow";
    readonly direction: number | "flow";
    readonly hardwareId: number | "flow";
  };
}

/** No tunnel can be made of the options; the message is what the `error` column shows. */
export class TunnelConfigError extends Error {
  override readonly name = "TunnelConfigError";
}

const DEFAULT_TTL = 64;
const DSCP_MASK = 0xfc;
/** Read by ovs-monitor-ipsec(8), not by a switch. */
const IPSEC_OPTIONS = new Set(["remote_cert", "remote_name", "psk"]);
const KEY_OPTIONS = new Set(["key", "in_key", "out_key", "packet_type"]);

export function parseTunnelConfig(
  name: string,
  type: TunnelType,
  options: ReadonlyMap<string, string>,
): { config: TunnelConfig; warnings: string[] } {
  return new Reader(name, type, options).read();
}

class Reader {
  private readonly warnings: string[] = [];
  private readonly row: TunnelKindRow;
  private remote: OrFlow<Uint8Array>;
  private local: OrFlow<Uint8Array>;
  private dstPort: number;
  private tos: number | "inherit" = 0;
  private ttl: number | "inherit" = 0;
  private gbp = false;
  private gpe = false;
  private egressMark: number | undefined;
  private readonly erspan: {
    version: number | "flow";
    index: number | "flow";
    direction: number | "flow";
    hardwareId: number | "flow";
  } = { version: 0, index: 0, direction: 0, hardwareId: 0 };

  constructor(
    private readonly name: string,
    private readonly type: TunnelType,
    private readonly options: ReadonlyMap<string, string>,
  ) {
    this.row = TUNNEL_TYPES[type];
    this.dstPort = this.row.udpPort ?? 0;
  }

  read(): { config: TunnelConfig; warnings: string[] } {
    const { options, row, type } = this;
    for (const [option, value] of options) this.option(option, value);
    const packetType = this.packetType();
    if (this.remote === undefined) this.fail(`${type} type requires valid 'remote_ip' argument`);
    if (this.local === "flow" && this.remote !== "flow") {
      this.fail(`${type} type requires 'remote_ip=flow' with 'local_ip=flow'`);
    }
    const { remote, local } = this;
    if (
      remote instanceof Uint8Array && local instanceof Uint8Array &&
      isMappedIpv4(remote) !== isMappedIpv4(local)
    ) this.fail("'remote_ip' and 'local_ip' has to be of the same address family");
    const config: TunnelConfig = {
      type,
      remote: remote!,
      local,
      inKey: this.key("in_key"),
      outKey: this.key("out_key"),
      dstPort: this.dstPort,
      tos: this.tos,
      ttl: this.ttl || DEFAULT_TTL,
      dontFragment: options.get("df_default") !== "false",
      checksum: row.checksums && options.get("csum") === "true",
      sequence: row.sequence && options.get("seq") === "true",
      packetType,
      gbp: this.gbp,
      gpe: this.gpe,
      egressMark: this.egressMark,
      erspan: this.erspan,
    };
    return { config, warnings: this.warnings };
  }

  private option(option: string, value: string): void {
    const { row, type } = this;
    if (option === "remote_ip") this.remote = this.address(option, value);
    else if (option === "local_ip") this.local = this.address(option, value);
    else if (option === "tos") this.readTos(value);
    else if (option === "ttl") this.ttl = value === "inherit" ? value : decimal(value) & 0xff;
    else if (option === "dst_port" && row.udpPort !== undefined) {
      this.dstPort = decimal(value) & 0xffff;
    } else if (option === "exts" && type === "vxlan") this.extensions(value);
    else if (option === "egress_pkt_mark") this.egressMark = decimal(value) >>> 0;
    else if (option.startsWith("erspan_")) this.readErspan(option, value);
    else if (!this.known(option)) this.warn(`unknown ${type} argument '${option}'`);
  }

  private known(option: string): boolean {
    return (option === "csum" && this.row.checksums) || (option === "seq" && this.row.sequence) ||
      option === "df_default" || KEY_OPTIONS.has(option) || IPSEC_OPTIONS.has(option);
  }

  private address(option: string, value: string): OrFlow<Uint8Array> {
    if (value === "flow") return value;
    const address = parseAddress(value);
    if (!address) {
      this.warn(`bad ${this.type} '${option}'`);
      return undefined;
    }
    if (option === "remote_ip" && isMulticast(address)) {
      this.fail(`multicast remote_ip=${value} not allowed`);
    }
    return address.some((byte, i) => byte !== (i === 10 || i === 11 ? 0xff : 0))
      ? address
      : undefined;
  }

  private readTos(value: string): void {
    if (value === "inherit") this.tos = value;
    else {
      const tos = number(value);
      if (tos === undefined || tos !== (tos & DSCP_MASK)) this.warn(`invalid TOS ${value}`);
      else this.tos = tos;
    }
  }

  private extensions(value: string): void {
    for (const extension of value.split(",").filter(Boolean)) {
      if (extension === "gbp") this.gbp = true;
      else if (extension === "gpe") this.gpe = true;
      else this.warn(`unknown extension '${extension}'`);
    }
  }

  private readErspan(option: string, value: string): void {
    const { erspan } = this;
    const flow = value === "flow";
    const hex = /^(0x)?[0-9a-f]{1,8}$/i.test(value) ? Number.parseInt(value, 16) : 0;
    switch (option) {
      case "erspan_ver":
        erspan.version = flow ? "flow" : decimal(value);
        if (flow) erspan.index = erspan.direction = erspan.hardwareId = "flow";
        else if (erspan.version !== 1 && erspan.version !== 2) {
          this.fail(`invalid erspan version: ${value}`);
        }
        return;
      case "erspan_idx":
        erspan.index = flow ? "flow" : hex;
        if (!flow && hex > 0xfffff) this.fail(`invalid erspan index: ${value}`);
        return;
      case "erspan_dir":
        erspan.direction = flow ? "flow" : decimal(value);
        if (!flow && decimal(value) > 1) this.fail(`invalid erspan direction: ${value}`);
        return;
      case "erspan_hwid":
        erspan.hardwareId = flow ? "flow" : hex;
        if (!flow && hex > 0x3f) this.fail(`invalid erspan hardware ID: ${value}`);
        return;
      default:
        this.warn(`unknown ${this.type} argument '${option}'`);
    }
  }

  private packetType(): PacketTypeMode {
    const { type } = this;
    const row = this.gpe ? { ...this.row, carriesL3: true } : this.row;
    const mode = this.options.get("packet_type");
    const full = type !== "vxlan" ? type : this.gpe ? "VXLAN-GPE" : "VXLAN (without GPE)";
    switch (mode) {
      case undefined:
        return row.carriesL2 ? "legacy_l2" : "legacy_l3";
      case "legacy_l2":
        if (!row.carriesL2) {
          this.fail(`legacy_l2 configured on ${full} tunnel that cannot carry L2 traffic`);
        }
        return mode;
      case "legacy_l3":
        if (!row.carriesL3) {
          this.fail(`legacy_l3 configured on ${full} tunnel that cannot carry L3 traffic`);
        }
        return mode;
      case "ptap":
        return mode;
      default:
        return this.fail(`unknown packet_type '${mode}'`);
    }
  }

  private key(option: "in_key" | "out_key"): OrFlow<bigint> {
    const value = this.options.get(option) ?? this.options.get("key");
    if (value === undefined || value === "flow") return value;
    return BigInt.asUintN(64, BigInt(/^(0x[0-9a-f]+|\d+)/i.exec(value)?.[0] ?? 0));
  }

  private warn(text: string): void {
    this.warnings.push(`${this.name}: ${text}`);
  }

  private fail(text: string): never {
    throw new TunnelConfigError([...this.warnings, `${this.name}: ${text}`].join("\n"));
  }
}

/** As atoi(3): the digits in front; 0 without any. */
function decimal(text: string): number {
  return Number(/^\s*\d{1,10}/.exec(text)?.[0] ?? 0);
}

function number(text: string): number | undefined {
  return /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : undefined;
}

function isMulticast(address: Uint8Array): boolean {
  return isMappedIpv4(address) ? (address[12]! & 0xf0) === 0xe0 : address[0] === 0xff;
}
