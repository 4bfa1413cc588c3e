/** Mirror rows of a bridge, resolved (ovs-vswitchd.conf.db(5), "Mirror TABLE"). */
import type { Replica, Row, Uuid } from "../../db/replica.ts";
import type { Logger } from "../../log/log.ts";
import type { MirrorModel } from "../pipeline/model.ts";
import type { Bridge } from "./bridge.ts";
import type { Bundle } from "./ports.ts";
import type { WantedBridge } from "./wanted.ts";

/** What one bridge can have. */
const MAX_MIRRORS = 32;

export interface MirrorContext {
  readonly replica: Replica;
  readonly log: Logger;
  /** Logs a warning once. */
  readonly say: (text: string) => void;
}

/** A mirror that is as it was stays the same object, and one of the same name keeps its counts. */
export function configureMirrors(
  bridge: Bridge,
  want: WantedBridge,
  { replica, say }: MirrorContext,
): void {
  const mirrors: MirrorModel[] = [];
  for (const uuid of want.row.mirrors) {
    const row = replica.rows("Mirror").get(uuid);
    const model = row && resolve(bridge, row, replica, say);
    if (!model) continue;
    if (mirrors.length === MAX_MIRRORS) {
      say(`bridge ${bridge.name}: mirror ${model.name} is one more than ${MAX_MIRRORS}; ignoring`);
      continue;
    }
    mirrors.push(model);
  }
  bridge.configureMirrors(mirrors);
}

function resolve(
  bridge: Bridge,
  row: Row<"Mirror">,
  replica: Replica,
  say: (text: string) => void,
): MirrorModel | undefined {
  const about = `bridge ${bridge.name}: mirror ${row.name}`;
  const bundleOf = (uuid: Uuid): Bundle | undefined =>
    bridge.bundleByName(replica.rows("Port").get(uuid)?.name ?? "");
  let output: Bundle | undefined;
  if (row.output_port !== undefined) {
    output = bundleOf(row.output_port);
    if (!output) return void say(`${about} outputs to port not on bridge`);
    if (row.output_vlan !== undefined) {
      say(`${about} specifies both output port and output vlan; ignoring output vlan`);
    }
  } else if (row.output_vlan === undefined) {
    return void say(`${about} does not specify output; ignoring`);
  }
  const selected = (uuids: readonly Uuid[]): ReadonlySet<Bundle> => {
    if (row.select_all) return new Set(bridge.bundles);
    const bundles = new Set<Bundle>();
    for (const uuid of uuids) {
      const bundle = bundleOf(uuid);
      if (bundle) bundles.add(bundle);
      else say(`${about} cannot match on a port that is not on the bridge`);
    }
    return bundles;
  };
  const old = bridge.mirrors.find(({ name }) => name === row.name);
  const model: MirrorModel = {
    name: row.name,
    sources: selected(row.select_src_port),
    destinations: selected(row.select_dst_port),
    vlans: row.select_vlan.length > 0 ? new Set(row.select_vlan) : undefined,
    output,
    outputVlan: output ? 0 : row.output_vlan ?? 0,
    snapLength: row.snaplen ?? 0,
    stats: old?.stats ?? { packets: 0, bytes: 0 },
  };
  return old && isSame(old, model) ? old : model;
}

function isSame(a: MirrorModel, b: MirrorModel): boolean {
  return a.output === b.output && a.outputVlan === b.outputVlan && a.snapLength === b.snapLength &&
    sameSet(a.sources, b.sources) && sameSet(a.destinations, b.destinations) &&
    sameSet(a.vlans ?? EMPTY, b.vlans ?? EMPTY) && !a.vlans === !b.vlans;
}

const EMPTY: ReadonlySet<unknown> = new Set();
const sameSet = (a: ReadonlySet<unknown>, b: ReadonlySet<unknown>): boolean =>
  a.size === b.size && a.isSubsetOf(b);
