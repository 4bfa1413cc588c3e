/**
 * The meters of one bridge (OpenFlow 1.3.5 §5.7): buckets of tokens, one a band, that fill at the
 * band's rate. A packet for which a band's bucket has no tokens exceeds that band; of the bands it
 * exceeds, the one of the highest rate decides.
 *
 * They act on what goes to controllers: `controller(meter_id=…)`, and all else that has none by the
 * meter of the number OFPM_CONTROLLER. Flows that name a meter are refused (supported.ts): that
 * takes the datapath.
 *
 * Limits: bands that drop; Open vSwitch's numbers. As there, a band without a burst size has one
 * second's worth.
 */
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import { METER_FLAGS, type MeterBand, type MeterConfig } from "../../openflow/messages/types.ts";
import type { Clock } from "../clock.ts";

export const MAX_METERS = 1 << 18;
export const MAX_BANDS = 8;
/** OFPM_MAX: the highest ordinary number. */
const MAX_METER = 0xffff0000;
export const METER_ALL = 0xffffffff;
export const METER_CONTROLLER = 0xfffffffe;
export const METER_SLOWPATH = 0xfffffffd;

interface Bucket {
  readonly band: MeterBand;
  /** Thousandths of a packet, or bits. */
  tokens: number;
  readonly capacity: number;
  packets: number;
  bytes: number;
}

export class Meter {
  packets = 0;
  bytes = 0;
  readonly buckets: readonly Bucket[];
  private filledMs: number;

  constructor(readonly config: MeterConfig, readonly createdMs: number, nowMs: number) {
    this.filledMs = nowMs;
    this.buckets = config.bands.map((band) => {
      const capacity = band.burst * 1000;
      return { band, tokens: capacity, capacity, packets: 0, bytes: 0 };
    });
  }

  /** Counts a packet of so many bytes; false: it is to be dropped. */
  admit(bytes: number, nowMs: number): boolean {
    const passedMs = Math.max(0, nowMs - this.filledMs);
    this.filledMs = nowMs;
    this.packets++;
    this.bytes += bytes;
    // One packet is 1000 thousandths; a kilobit a second is a bit a millisecond.
    const cost = this.config.flags & METER_FLAGS.PKTPS ? 1000 : bytes * 8;
    let exceeded: Bucket | undefined;
    for (const bucket of this.buckets) {
      bucket.tokens = Math.min(bucket.capacity, bucket.tokens + passedMs * bucket.band.rate);
      if (bucket.tokens >= cost) bucket.tokens -= cost;
      else if (!exceeded || bucket.band.rate > exceeded.band.rate) exceeded = bucket;
    }
    if (!exceeded) return true;
    exceeded.packets++;
    exceeded.bytes += bytes;
    return false;
  }
}

export class Meters {
  private readonly meters = new Map<number, Meter>();

  constructor(private readonly clock: Pick<Clock, "now">) {}

  get(id: number): Meter | undefined {
    return this.meters.get(id);
  }

  add(config: MeterConfig): void {
    const checked = check(config);
    if (this.meters.has(config.meter)) {
      throw bad("OFPMMFC_METER_EXISTS", `meter ${config.meter} exists`);
    }
    if (this.meters.size >= MAX_METERS) {
      throw bad("OFPMMFC_OUT_OF_METERS", `there are ${MAX_METERS} meters`);
    }
    const now = this.clock.now();
    this.meters.set(config.meter, new Meter(checked, now, now));
  }

  modify(config: MeterConfig): void {
    const checked = check(config);
    const old = this.meters.get(config.meter);
    if (!old) throw bad("OFPMMFC_UNKNOWN_METER", `there is no meter ${config.meter}`);
    this.meters.set(config.meter, new Meter(checked, old.createdMs, this.clock.now()));
  }

  /** A meter that is not there is no error. */
  delete(id: number): void {
    if (id === METER_ALL) this.meters.clear();
    else this.meters.delete(id);
  }

  /** The meter of this number or, for METER_ALL, all, by number. */
  select(id: number): Meter[] {
    if (id === METER_ALL) {
      return [...this.meters.values()].sort((a, b) => a.config.meter - b.config.meter);
    }
    const meter = this.meters.get(id);
    if (!meter) throw bad("OFPMMFC_UNKNOWN_METER", `there is no meter ${id}`);
    return [meter];
  }

  /** May a packet go to controllers? `id`: the meter that its action names. */
  admit(id: number | undefined, bytes: number): boolean {
    if (this.meters.size === 0) return true;
    const named = id === undefined || id === METER_ALL ? METER_CONTROLLER : id;
    const meter = this.meters.get(named);
    return meter?.admit(bytes, this.clock.now()) ?? true;
  }
}

function check(config: MeterConfig): MeterConfig {
  const { meter, bands } = config;
  const special = meter === METER_CONTROLLER || meter === METER_SLOWPATH;
  if (meter === 0 || (meter > MAX_METER && !special)) {
    throw bad("OFPMMFC_INVALID_METER", `no meter has the number ${meter}`);
  }
  if (bands.length > MAX_BANDS) {
    throw bad("OFPMMFC_OUT_OF_BANDS", `a meter has ${MAX_BANDS} bands at most`);
  }
  for (const { type, rate } of bands) {
    if (rate === 0) throw bad("OFPMMFC_BAD_RATE", "a rate of 0 lets nothing through");
    if (type !== "drop") throw bad("OFPMMFC_BAD_BAND", `bands that ${type} are not supported`);
  }
  return { ...config, bands: bands.map((band) => ({ ...band, burst: band.burst || band.rate })) };
}

function bad(error: ErrorName, detail: string): OfError {
  return new OfError(error, 0, detail);
}
