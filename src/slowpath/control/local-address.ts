/**
 * The address by which a bridge's own port reaches its controllers (`local_ip`, `local_netmask` and
 * `local_gateway` of a Controller row; ovs-vswitchd.conf.db(5), "Additional In-Band Configuration").
 * The port is switched on and given the address; one that was given before and is not asked for any
 * more is taken away.
 */
import type { Row } from "../../db/replica.ts";
import type { Devices } from "../../fastpath/devices.ts";
import type { HostNetwork } from "../../fastpath/host-network.ts";
import type { Logger } from "../../log/log.ts";
import { formatIpv4, parseIpv4 } from "../../packet/address.ts";
import { mapIpv4, type Prefix, sameAddress } from "../../packet/prefix.ts";

type Controller = Pick<Row<"Controller">, "local_ip" | "local_netmask" | "local_gateway">;

export class LocalAddress {
  private readonly given = new Map<string, Prefix>();
  /** What could not be done, said once. */
  private readonly failed = new Set<string>();

  constructor(
    /** Of the bridge and of its own port. */
    private readonly name: string,
    private readonly network: HostNetwork,
    private readonly devices: Pick<Devices, "get" | "setUp">,
    private readonly log: Logger,
  ) {}

  configure(controllers: readonly Controller[]): void {
    const wanted = new Map<string, { prefix: Prefix; gateway: Uint8Array | undefined }>();
    for (const row of controllers) {
      const address = row.local_ip === undefined ? undefined : parseIpv4(row.local_ip);
      if (!address) continue;
      const length = maskLength(row.local_netmask) ?? classLength(address);
      const gateway = row.local_gateway === undefined ? undefined : parseIpv4(row.local_gateway);
      wanted.set(`${formatIpv4(address)}/${length}`, {
        prefix: { address: mapIpv4(address), length: length + 96 },
        gateway: gateway?.some((byte) => byte !== 0) ? gateway : undefined,
      });
    }
    for (const [text, prefix] of this.given) {
      if (wanted.has(text)) continue;
      this.given.delete(text);
      this.attempt(`take ${text} away`, () => this.network.removeAddress(this.name, prefix));
    }
    for (const [text, { prefix, gateway }] of wanted) this.give(text, prefix, gateway);
  }

  private give(text: string, prefix: Prefix, gateway: Uint8Array | undefined): void {
    const device = this.devices.get(this.name);
    if (!device) return;
    const has = this.network.addressesOf(this.name).some((own) =>
      own.length === prefix.length && sameAddress(own.address, prefix.address)
    );
    const routed = !gateway ||
      this.network.routes().some((route) =>
        route.destination.length === 96 && route.gateway !== undefined &&
        sameAddress(route.gateway, mapIpv4(gateway))
      );
    if (!device.adminUp) {
      this.devices.setUp(this.name, true).catch((error: unknown) => this.say(String(error)));
    }
    if (has && routed) return;
    this.attempt(`configure ${text}`, () => {
      if (!has) {
        this.network.addAddress(this.name, prefix);
        this.given.set(text, prefix);
        this.log.info(`bridge ${this.name}: configured IP address ${text}`);
      }
      if (!gateway || routed) return;
      this.network.addDefaultGateway(mapIpv4(gateway));
      this.log.info(`bridge ${this.name}: configured gateway ${formatIpv4(gateway)}`);
    });
  }

  private attempt(what: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.say(`could not ${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private say(text: string): void {
    if (this.failed.has(text)) return;
    this.failed.add(text);
    this.log.warn(`bridge ${this.name}: ${text}`);
  }
}

/** Undefined for what is no mask, or that of no bits. */
function maskLength(text: string | undefined): number | undefined {
  const bytes = text === undefined ? undefined : parseIpv4(text);
  if (!bytes) return undefined;
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return /^1+0*$/.test(bits) ? bits.lastIndexOf("1") + 1 : undefined;
}

/** The length of the network before there were masks (RFC 791 §3.2). */
function classLength([first = 0]: Uint8Array): number {
  return first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : 0;
}
