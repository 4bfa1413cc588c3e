/**
 * The rules by which packets of a balance-tcp bond go on when the datapath has hashed them: one for
 * each of the 256 values, in the switch's own table, found by the bond's recirculation id.
 *
 * They are changed only where a bucket has got another member, and what they count is what the
 * bond's balancing goes by.
 */
import type { Action } from "../../openflow/actions/types.ts";
import { FIELDS } from "../../packet/layout.ts";
import { anyMatch } from "../../packet/key.ts";
import { type FlowTables, TABLE_OWN } from "../pipeline/tables.ts";
import type { Rule } from "../pipeline/rule.ts";
import { type Bond, BOND_BUCKETS, type BondPort } from "./bond.ts";

const PRIORITY = 20;

interface Installed {
  readonly rule: Rule;
  readonly ofport: number;
  /** What it had counted when it was last asked. */
  bytes: number;
}

export class PostRecirculation {
  private readonly installed: (Installed | undefined)[] = [];

  constructor(private readonly tables: FlowTables, private readonly recircId: number) {}

  /** Makes the rules what the bond's buckets say. */
  update(bond: Bond<BondPort>): void {
    const buckets = bond.mayRecirculate ? bond.buckets : undefined;
    const wanted = Array.from(
      { length: BOND_BUCKETS },
      (_, i) => buckets?.[i]?.member?.port.ofport,
    );
    if (wanted.every((ofport, i) => ofport === this.installed[i]?.ofport)) return;
    this.tables.transaction(() => {
      for (const [i, ofport] of wanted.entries()) {
        const now = this.installed[i];
        if (now?.ofport === ofport) continue;
        if (now) this.tables.removeOwn(now.rule);
        this.installed[i] = ofport === undefined ? undefined : this.add(i, ofport);
      }
    });
  }

  /** Tells the bond what its rules have counted since they were asked last. */
  account(bond: Bond<BondPort>): void {
    for (const [i, each] of this.installed.entries()) {
      if (!each) continue;
      const { bytes } = each.rule;
      bond.account(i, bytes - each.bytes);
      each.bytes = bytes;
    }
  }

  remove(): void {
    this.tables.transaction(() => {
      for (const each of this.installed) if (each) this.tables.removeOwn(each.rule);
    });
    this.installed.length = 0;
  }

  private add(bucket: number, ofport: number): Installed {
    const match = anyMatch();
    match.key.set(FIELDS.recirc_id, this.recircId);
    match.mask.set(FIELDS.recirc_id, 0xffffffff);
    match.key.set(FIELDS.dp_hash, bucket);
    match.mask.set(FIELDS.dp_hash, BOND_BUCKETS - 1);
    const actions: Action[] = [{ type: "output", port: ofport, maxLength: 0 }];
    const rule = this.tables.addOwn({
      table: TABLE_OWN,
      priority: PRIORITY,
      cookie: 0n,
      idleTimeout: 0,
      hardTimeout: 0,
      importance: 0,
      flags: 0,
      actions,
    }, match);
    return { rule, ofport, bytes: 0 };
  }
}
