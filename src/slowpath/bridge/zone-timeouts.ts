/**
 * Timeout policies of conntrack zones (Datapath `ct_zones`, CT_Zone `timeout_policy`;
 * ovs-vswitchd.conf.db(5)): the datapath gets each distinct set of timeouts under a number, and
 * translation puts the number of the packet's zone into `ct(commit)`.
 *
 * Zones are those of a datapath type ("system", "netdev"); bridges of both types may share one
 * datapath here, so the number decides, not the zone. 0 is left to the datapath's defaults.
 */
import type { Replica, Row } from "../../db/replica.ts";
import { CT_TIMEOUTS, type CtTimeouts } from "../../fastpath/conntrack/types.ts";
import type { Conntrack } from "../../fastpath/conntrack/types.ts";

export class ZoneTimeouts {
  /** Policy numbers by zone, by datapath type. */
  private zones = new Map<string, ReadonlyMap<number, number>>();
  /** Policy numbers by their timeouts, as text. */
  private readonly policies = new Map<string, number>();

  /** `changed`: megaflows may have other policies in their actions from now on. */
  constructor(
    private readonly conntrack: Pick<Conntrack, "setTimeoutPolicy">,
    private readonly changed: () => void,
  ) {}

  policyOf(datapathType: string, zone: number): number | undefined {
    return this.zones.get(datapathType)?.get(zone);
  }

  configure(replica: Replica, root: Row<"Open_vSwitch"> | undefined): void {
    const zones = new Map<string, Map<number, number>>();
    const used = new Set<string>();
    for (const [type, uuid] of root?.datapaths ?? []) {
      const byZone = new Map<number, number>();
      for (const [zone, zoneUuid] of replica.rows("Datapath").get(uuid)?.ct_zones ?? []) {
        const policy = replica.rows("CT_Zone").get(zoneUuid)?.timeout_policy;
        const row = policy === undefined
          ? undefined
          : replica.rows("CT_Timeout_Policy").get(policy);
        if (!row) continue;
        const timeouts = timeoutsOf(row);
        used.add(JSON.stringify(timeouts));
        byZone.set(zone, this.numberOf(timeouts));
      }
      zones.set(type, byZone);
    }
    const before = this.zones;
    this.zones = zones;
    if (!sameZones(before, zones)) this.changed();
    for (const [text, id] of this.policies) {
      if (used.has(text)) continue;
      this.policies.delete(text);
      this.conntrack.setTimeoutPolicy(id, undefined);
    }
  }

  /** A policy of these timeouts, which the datapath has from now on. */
  private numberOf(timeouts: CtTimeouts): number {
    const text = JSON.stringify(timeouts);
    const known = this.policies.get(text);
    if (known !== undefined) return known;
    const taken = new Set(this.policies.values());
    let id = 1;
    while (taken.has(id)) id++;
    this.policies.set(text, id);
    this.conntrack.setTimeoutPolicy(id, timeouts);
    return id;
  }
}

function timeoutsOf({ timeouts }: Row<"CT_Timeout_Policy">): CtTimeouts {
  const names = CT_TIMEOUTS.filter((name) => timeouts.has(name));
  return Object.fromEntries(names.map((name) => [name, timeouts.get(name)!]));
}

function sameZones(
  a: ReadonlyMap<string, ReadonlyMap<number, number>>,
  b: ReadonlyMap<string, ReadonlyMap<number, number>>,
): boolean {
  const text = (zones: typeof a): string =>
    JSON.stringify([...zones].map(([type, byZone]) => [type, [...byZone]]));
  return text(a) === text(b);
}
