/** From table to table: which rule a packet finds, and what happens when there is none. */
import { KEY_WORDS } from "../../packet/layout.ts";
import { type ListRunner, runActions } from "./actions.ts";
import { AT, ETH_IP, FRAG_ANY, inPort, isIp, setInPort, setU16, u16 } from "./bits.ts";
import { sendToController } from "./controller.ts";
import { triggerFreeze } from "./freeze.ts";
import type { Rule } from "./rule.ts";
import { TABLE_OWN, USER_TABLES } from "./tables.ts";
import type { TableOutcome } from "./tracer.ts";
import type { Xlate } from "./xlate.ts";

export interface Lookup {
  readonly table: number;
  /** Stands in for the input port during the lookup only. */
  readonly port: number;
  /** A miss follows the table's setting: goto_table, OFPP_TABLE. A resubmit's does nothing. */
  readonly asPipeline: boolean;
  readonly mayPacketIn: boolean;
  /** With the addresses of the tracked connection in place of the packet's own. */
  readonly swaps: boolean;
}

/** Looks the packet up in a table and runs what it finds. */
export function runTable(
  x: Xlate,
  lookup: Lookup,
  isLast: boolean,
  run: ListRunner = runActions,
): void {
  // What labels hid, a rule may match.
  if (x.wasMpls) return triggerFreeze(x);
  if (!x.hasResources()) return;
  const { table: oldTable, rule, cookie } = x;
  if (lookup.swaps && (x.key.bytes[AT.ctNwProto] === 0 || !isIp(x.key))) {
    x.complain("resubmit(ct) with non-tracked or non-IP packet!");
    return;
  }
  x.table = lookup.table;
  if (lookup.swaps) {
    x.unlike();
    swapTuple(x);
  }
  const found = search(x, lookup);
  if (lookup.swaps) swapTuple(x);
  x.tracer?.enterTable(x.bridge, lookup.table, found);
  const deepens = lookup.table <= oldTable ? 1 : 0;
  x.resubmits++;
  x.depth += deepens;
  runFound(x, found, isLast, run);
  x.depth -= deepens;
  x.tracer?.leave();
  x.rule = rule;
  x.cookie = cookie;
  x.table = oldTable;
}

/** Runs what was found, as the packet's rule from now on. */
export function runFound(x: Xlate, found: TableOutcome, isLast: boolean, run: ListRunner): void {
  if (typeof found === "object") {
    x.rule = found;
    x.cookie = found.cookie;
    return run(x, found.actions, isLast);
  }
  x.rule = undefined;
  x.cookie = 0n;
  if (found === "packet-in") ask(x);
  else x.tracer?.report("action", "drop");
}

/** Finds what the packet hits in `lookup.table` or, where a miss goes on, in a later table. */
export function search(x: Xlate, { port, asPipeline, mayPacketIn }: Lookup): TableOutcome {
  const { bridge, key } = x;
  const { tables } = bridge;
  const isFragment = (key.bytes[AT.nwFrag]! & FRAG_ANY) !== 0;
  if (isFragment && bridge.fragMode === "drop") return "fragment";
  const wirePort = inPort(key);
  const tpSrc = u16(key, AT.tpSrc);
  const tpDst = u16(key, AT.tpDst);
  if (isFragment && bridge.fragMode === "normal") {
    // Fragments are matched as if they had no transport header, the first one too.
    setU16(key, AT.tpSrc, 0);
    setU16(key, AT.tpDst, 0);
  }
  setInPort(key, port);
  const pristine = !x.thawed && sameWords(key.words, x.initial);
  let rule: Rule | undefined;
  for (let table = x.table; table < USER_TABLES || table === x.table; table++) {
    x.table = table;
    if (x.notes?.begin(key, x.initial, x.mask) === false) x.unlike();
    rule = tables.lookup(table, key, x.looked);
    x.notes?.found(tables, table, rule);
    const outranks = rule && !tables.isConjunctive(table) ? rule.priority : -1;
    x.effect({ type: "lookup", tables, table, rule, pristine, outranks });
    if (rule || !asPipeline || tables.missSetting(table) !== "continue") break;
  }
  setInPort(key, wirePort);
  setU16(key, AT.tpSrc, tpSrc);
  setU16(key, AT.tpDst, tpDst);
  if (rule) {
    x.effect({ type: "rule", rule });
    return rule;
  }
  return mayPacketIn && asks(x, wirePort) ? "packet-in" : "no match";
}

/** No rule matched: does the table's setting ask controllers (OpenFlow 1.1 §A.3.3, 1.3.5 §5.4)? */
function asks(x: Xlate, port: number): boolean {
  const setting = x.bridge.tables.missSetting(x.table);
  switch (setting) {
    case "drop":
      return false;
    case "default":
      // Dropped from OpenFlow 1.3 on; earlier versions ask the controller.
      return x.bridge.wantsMisses();
    case "continue":
    case "controller":
      return x.port(port)?.config.noPacketIn === false;
    default: {
      const never: never = setting;
      throw new Error(`miss setting ${never}`);
    }
  }
}

function ask(x: Xlate): void {
  const setting = x.bridge.tables.missSetting(x.table);
  x.tracer?.report("action", "CONTROLLER:65535");
  sendToController(x, {
    reason: setting === "default" ? "implicit_miss" : "no_match",
    maxLength: 0xffff,
    controllerId: 0,
    userdata: undefined,
    meterId: undefined,
  });
}

/** Rules of the switch itself resubmit as if the packet had just come in. */
export function isOwn(x: Xlate): boolean {
  return x.rule?.table === TABLE_OWN;
}

/** Exchanges the packet's addresses with those of its connection; what was looked at, too. */
function swapTuple({ key, mask }: Xlate): void {
  const ipv4 = u16(key, AT.ethType) === ETH_IP;
  for (const each of [key, mask]) {
    const { bytes } = each;
    swap(bytes, AT.nwProto, AT.ctNwProto, 1);
    if (ipv4) {
      swap(bytes, AT.nwSrc, AT.ctNwSrc, 4);
      swap(bytes, AT.nwDst, AT.ctNwDst, 4);
    } else {
      swap(bytes, AT.ipv6Src, AT.ctIpv6Src, 16);
      swap(bytes, AT.ipv6Dst, AT.ctIpv6Dst, 16);
    }
    swap(bytes, AT.tpSrc, AT.ctTpSrc, 2);
    swap(bytes, AT.tpDst, AT.ctTpDst, 2);
  }
}

function swap(bytes: Uint8Array, a: number, b: number, length: number): void {
  for (let i = 0; i < length; i++) {
    [bytes[a + i], bytes[b + i]] = [bytes[b + i]!, bytes[a + i]!];
  }
}

function sameWords(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < KEY_WORDS; i++) if (a[i] !== b[i]) return false;
  return true;
}
