/**
 * OpenFlow port numbers of one bridge (ovs-vswitchd.conf.db(5), Interface `ofport_request`).
 *
 * A wanted number that is free is given. Otherwise the next one up from 1 to 32767 that was not in
 * use during the last hour: a number is not handed out again at once, because flows may still speak
 * of its last owner. The upper half is left to those who ask by number.
 */
import { PORTS } from "../../openflow/version.ts";
import type { Clock } from "../clock.ts";

const AUTOMATIC_LIMIT = 32768;
const REST_MS = 60 * 60 * 1000;
const IN_USE = Number.POSITIVE_INFINITY;

export class OfportAllocator {
  /** IN_USE, or when the number was given back. */
  private readonly usage = new Map<number, number>();
  private last = 0;

  constructor(private readonly clock: Pick<Clock, "now">) {}

  isFree(ofport: number): boolean {
    return this.usage.get(ofport) !== IN_USE;
  }

  /** Gives `wanted` if it is valid and free, else another number; undefined when none is left. */
  allocate(wanted?: number): number | undefined {
    if (wanted !== undefined && wanted >= 1 && wanted < PORTS.MAX && this.isFree(wanted)) {
      return this.take(wanted);
    }
    const now = this.clock.now();
    let rested: number | undefined;
    let restedSince = IN_USE;
    for (let tries = 1; tries < AUTOMATIC_LIMIT; tries++) {
      this.last = this.last + 1 < AUTOMATIC_LIMIT ? this.last + 1 : 1;
      const since = this.usage.get(this.last);
      if (since === undefined || now - since > REST_MS) return this.take(this.last);
      if (since < restedSince) {
        rested = this.last;
        restedSince = since;
      }
    }
    return rested === undefined ? undefined : this.take(rested);
  }

  /** The number is free again; automatic allocation leaves it alone for an hour. */
  release(ofport: number): void {
    if (this.usage.get(ofport) === IN_USE) this.usage.set(ofport, this.clock.now());
  }

  private take(ofport: number): number {
    this.usage.set(ofport, IN_USE);
    return ofport;
  }
}
