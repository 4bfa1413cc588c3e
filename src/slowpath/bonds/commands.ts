/** The commands of `ovs-appctl` about bonds and LACP (ovs-vswitchd(8), "BOND COMMANDS", "LACP"). */
import { parseMac } from "../../packet/address.ts";
import { commandAdder, CommandError, type UnixctlServer } from "../unixctl.ts";
import { BOND_BUCKETS, type BondMember, hashAddress } from "./bond.ts";
import { listBonds, showBond } from "./bond-text.ts";
import type { BondableBundle, BondablePort, Bonds } from "./bonds.ts";
import { showLacp, showLacpStats } from "./lacp-text.ts";

/** A bridge, as far as it is needed here. */
export interface BondedBridge {
  readonly bundles: Iterable<BondableBundle>;
  readonly bonds: Bonds;
  readonly clock: { now(): number };
}

type Bond = NonNullable<BondableBundle["bond"]>;

interface Found {
  readonly bond: Bond;
  readonly bonds: Bonds;
  readonly now: number;
}

export function registerBondCommands(
  server: UnixctlServer,
  bridges: () => ReadonlyMap<string, BondedBridge>,
): void {
  const add = commandAdder(server);

  function* all(): Iterable<Found> {
    for (const { bundles, bonds, clock } of bridges().values()) {
      for (const { bond } of bundles) if (bond) yield { bond, bonds, now: clock.now() };
    }
  }
  const find = (name = ""): Found => {
    for (const found of all()) if (found.bond.name === name) return found;
    throw new CommandError("no such bond");
  };
  const memberOf = ({ bond }: Found, name = ""): BondMember<BondablePort> => {
    for (const member of bond.members.values()) if (member.port.name === name) return member;
    throw new CommandError("no such member");
  };

  add("bond/list", "", [0, 0], () => listBonds([...all()].map(({ bond }) => bond)));
  add("bond/show", "[port]", [0, 1], ([name]) => {
    const chosen = name === undefined ? [...all()] : [find(name)];
    return chosen.map(({ bond, now }) => showBond(bond, now)).join("");
  });
  add("bond/migrate", "port hash member", [3, 3], ([name, hash = "", memberName]) => {
    const found = find(name);
    if (found.bond.settings.mode !== "balance-slb" || !found.bond.buckets) {
      throw new CommandError("not an SLB bond");
    }
    if (!/^\d*$/.test(hash)) throw new CommandError("bad hash");
    const member = memberOf(found, memberName);
    if (!member.enabled) throw new CommandError("cannot migrate to disabled member");
    found.bond.migrate(Number(hash) % BOND_BUCKETS, member);
    found.bonds.run();
    return "migrated";
  });
  for (const word of ["member", "slave"]) {
    add(`bond/set-active-${word}`, "port member", [2, 2], ([name, memberName]) => {
      const found = find(name);
      const member = memberOf(found, memberName);
      if (!member.enabled) throw new CommandError("cannot make disabled member active");
      const changed = found.bond.setActive(member);
      found.bonds.run();
      return changed ? "done" : "no change";
    });
    for (const [verb, enabled] of [["enable", true], ["disable", false]] as const) {
      add(`bond/${verb}-${word}`, "port member", [2, 2], ([name, memberName]) => {
        const found = find(name);
        found.bond.enable(memberOf(found, memberName), enabled);
        found.bonds.happened();
        return `${verb}d`;
      });
    }
  }
  add("bond/hash", "mac [vlan] [basis]", [1, 3], ([mac = "", vlan, basis]) => {
    const vid = numberOf(vlan, "invalid vlan");
    const seed = numberOf(basis, "invalid basis");
    const bytes = parseMac(mac);
    if (!bytes) throw new CommandError("invalid mac");
    return String(hashAddress(bytes, 0, vid & 0xffff, seed) % BOND_BUCKETS);
  });

  for (const [name, show] of [["show", showLacp], ["show-stats", showLacpStats]] as const) {
    add(`lacp/${name}`, "[port]", [0, 1], ([port]) => {
      const texts: string[] = [];
      for (const { bundles } of bridges().values()) {
        for (const { lacp } of bundles) {
          if (lacp && (port === undefined || lacp.protocol.name === port)) {
            texts.push(show(lacp.protocol));
          }
        }
      }
      if (port !== undefined && texts.length === 0) throw new CommandError("no such lacp object");
      return texts.join("");
    });
  }
}

function numberOf(text: string | undefined, problem: string): number {
  if (text === undefined) return 0;
  const found = /^\s*\d{1,10}/.exec(text);
  if (!found) throw new CommandError(problem);
  return Number(found[0]) >>> 0;
}
