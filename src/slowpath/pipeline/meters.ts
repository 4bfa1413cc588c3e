/**
 * The meters of one bridge (OpenFlow 1.3.5 §5.7): buckets of tokens, one a band, that fill at the
 * band's rate. A packet for which a band's bucket has no tokens exceeds that band; of the bands it
 * exceeds, the one of the highest rate decides.
 *
 * The datapath enforces them: by the `meter` action of rules, and on what goes to controllers by
 * `controller(meter_id=…)` or, where an action has none, the meter of the number OFPM_CONTROLLER. It
 * knows them by numbers of its own, which are one space for all bridges.
 *
 * - Rules that name a meter go when it goes (OpenFlow 1.3.5 §6.4); a rule may not name one that is
 *   not there.
 *
 * Limits: Open vSwitch's numbers. A band without a burst size has one second's worth; where bursts
 * are spoken of (OFPMF_BURST), that is told as its size, as there.
 */
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import type { DpMeterStats } from "../../fastpath/meters.ts";
import { METER_FLAGS, type MeterConfig } from "../../openflow/messages/types.ts";
import type { Clock } from "../clock.ts";

export const MAX_METERS = 1 << 18;
export const MAX_BANDS = 8;
/** OFPM_MAX: the highest ordinary number. */
const MAX_METER = 0xffff0000;
export const METER_ALL = 0xffffffff;
export const METER_CONTROLLER = 0xfffffffe;
export const METER_SLOWPATH = 0xfffffffd;

/** Where meters are enforced. */
export interface MeterDatapath {
  /** Takes a free number. */
  add(config: MeterConfig): number;
  set(id: number, config: MeterConfig): void;
  remove(id: number): void;
  stats(id: number): DpMeterStats | undefined;
}

/** The rules that use meters, which the tables know. */
export interface MeterUsers {
  count(meter: number): number;
  /** Removes them. */
  remove(meter: number): void;
}

export interface BandCounts {
  packets: number;
  bytes: number;
}

export class Meter {
  packets = 0;
  bytes = 0;
  readonly buckets: readonly BandCounts[];
  /** Its number in the datapath; undefined: there is none. */
  id: number | undefined;

  constructor(readonly config: MeterConfig, readonly createdMs: number) {
    this.buckets = config.bands.map(() => ({ packets: 0, bytes: 0 }));
  }

  read(stats: DpMeterStats | undefined): void {
    if (!stats) return;
    this.packets = stats.packetsIn;
    this.bytes = stats.bytesIn;
    for (const [i, counts] of this.buckets.entries()) {
      counts.packets = stats.bands[i]?.packets ?? 0;
      counts.bytes = stats.bands[i]?.bytes ?? 0;
    }
  }
}

export class Meters {
  private readonly meters = new Map<number, Meter>();
  private datapath: MeterDatapath | undefined;

  constructor(
    private readonly clock: Pick<Clock, "now">,
    private readonly users: MeterUsers,
    /** Translations may come out otherwise. */
    private readonly changed: () => void,
  ) {}

  /** The datapath comes or goes. */
  attach(datapath: MeterDatapath | undefined): void {
    for (const meter of this.meters.values()) {
      if (meter.id !== undefined) this.datapath?.remove(meter.id);
      meter.id = datapath?.add(meter.config);
    }
    this.datapath = datapath;
  }

  get(id: number): Meter | undefined {
    return this.meters.get(id);
  }

  /** The datapath's number of a meter that rules name. */
  inDatapath(id: number): number | undefined {
    return this.meters.get(id)?.id;
  }

  /** The same of the meter for packets to controllers. `id`: the one that the action names. */
  forControllers(id: number | undefined): number | undefined {
    if (this.meters.size === 0) return undefined;
    return this.inDatapath(id === undefined || id === METER_ALL ? METER_CONTROLLER : id);
  }

  /** The same of the meter for all that goes to the slow path: samples. */
  forSlowPath(): number | undefined {
    return this.meters.size === 0 ? undefined : this.inDatapath(METER_SLOWPATH);
  }

  /** Rules that use the meter. */
  references(id: number): number {
    return this.users.count(id);
  }

  add(config: MeterConfig): void {
    const checked = check(config);
    if (this.meters.has(config.meter)) {
      throw bad("OFPMMFC_METER_EXISTS", `meter ${config.meter} exists`);
    }
    if (this.meters.size >= MAX_METERS) {
      throw bad("OFPMMFC_OUT_OF_METERS", `there are ${MAX_METERS} meters`);
    }
    const meter = new Meter(checked, this.clock.now());
    meter.id = this.datapath?.add(checked);
    this.meters.set(config.meter, meter);
    this.changed();
  }

  modify(config: MeterConfig): void {
    const checked = check(config);
    const old = this.meters.get(config.meter);
    if (!old) throw bad("OFPMMFC_UNKNOWN_METER", `there is no meter ${config.meter}`);
    const meter = new Meter(checked, old.createdMs);
    meter.id = old.id;
    if (meter.id !== undefined) this.datapath?.set(meter.id, checked);
    this.meters.set(config.meter, meter);
  }

  /** A meter that is not there is no error. */
  delete(id: number): void {
    const chosen = id === METER_ALL ? [...this.meters.keys()] : [id];
    for (const each of chosen) {
      const meter = this.meters.get(each);
      if (!meter) continue;
      this.users.remove(each);
      if (meter.id !== undefined) this.datapath?.remove(meter.id);
      this.meters.delete(each);
      this.changed();
    }
  }

  /** The meter of this number or, for METER_ALL, all, by number; counters are current. */
  select(id: number): Meter[] {
    const chosen = id === METER_ALL
      ? [...this.meters.values()].sort((a, b) => a.config.meter - b.config.meter)
      : [this.meters.get(id)];
    return chosen.map((meter) => {
      if (!meter) throw bad("OFPMMFC_UNKNOWN_METER", `there is no meter ${id}`);
      if (meter.id !== undefined) meter.read(this.datapath?.stats(meter.id));
      return meter;
    });
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
    if (type !== "drop" && type !== "dscp_remark") {
      throw bad("OFPMMFC_BAD_BAND", `bands that ${type} are not supported`);
    }
  }
  if (!(config.flags & METER_FLAGS.BURST)) return config;
  return { ...config, bands: bands.map((band) => ({ ...band, burst: band.burst || band.rate })) };
}

function bad(error: ErrorName, detail: string): OfError {
  return new OfError(error, 0, detail);
}
