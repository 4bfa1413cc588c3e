/**
 * Flows, groups and meters that survive a restart: Bridge `other_config:persist-flows=true`.
 *
 * One file a bridge, STATEDIR/flows/BRIDGE.jsonl: a JSON object a line, in the order in which things
 * came to be, so that reading it from the start leads to what there was at the end.
 *
 *     {"tlv":[…]}        the table of tunnel options is this      {"meter":{…}}  {"noMeter":N}
 *     {"flow":"TEXT"}    a flow, in ovs-ofctl's words             {"group":{…}}  {"noGroup":N}
 *     {"noFlow":"TEXT"}  the flow of this table, match and priority is gone
 *
 * - Off unless asked for, as in Open vSwitch, where flows are always the controller's business.
 *   Switched off, or with the bridge's record gone, the file goes.
 * - What is kept is what `dump-flows` shows; counters and ages begin anew, and so do timeouts.
 * - `flush` (a barrier does) means: whatever ends the process now, this will be there.
 * - When more than half of the lines are of the past, the file is written anew.
 * - A line that cannot be carried out (an edited file, another version) is logged and passed over. A
 *   file that cannot be written is logged once a failure; the switch goes on without.
 */
import { join } from "node:path";
import type { Logger } from "../../log/log.ts";
import { OfError } from "../../openflow/errors.ts";
import type {
  Bucket,
  GroupMod,
  GroupType,
  MeterConfig,
  TlvMapping,
} from "../../openflow/messages/types.ts";
import { formatActions } from "../../openflow/text/actions-format.ts";
import { parseActions } from "../../openflow/text/actions-parse.ts";
import { formatFlow, parseFlow } from "../../openflow/text/flow.ts";
import type { TextNames } from "../../openflow/text/names.ts";
import { GROUP_ALL, GROUP_ANY, PORTS, TABLE_ALL } from "../../openflow/version.ts";
import { anyMatch } from "../../packet/key.ts";
import { FIELD_LIST } from "../../packet/layout.ts";
import { TextError } from "../../packet/text.ts";
import type { Clock } from "../clock.ts";
import type { Group } from "../pipeline/groups.ts";
import { METER_ALL } from "../pipeline/meters.ts";
import type { Rule } from "../pipeline/rule.ts";
import type { FlowTables, TablesChange } from "../pipeline/tables.ts";
import { FlowJournal, journalExists } from "./flow-journal.ts";
import { describeRule } from "./requests/flows.ts";
import type { TlvTable } from "./tlv-table.ts";

/** Lines of the past that are not worth writing anew for. */
const SLACK_LINES = 1000;

export interface KeptFlowsContext {
  readonly bridge: string;
  readonly tables: FlowTables;
  readonly tlvTable: TlvTable;
  readonly clock: Clock;
  readonly log: Logger;
  /** Undefined: this program has no place for files. */
  readonly stateDir: string | undefined;
}

export class KeptFlows {
  private journal: FlowJournal | undefined;
  private started = false;
  private unlisten: () => void = () => {};
  /** As last written, by number. */
  private meters = new Map<number, string>();

  constructor(private readonly context: KeptFlowsContext) {}

  /** Takes the setting over; the first time, what an earlier life left comes back. */
  configure(on: boolean): void {
    const first = !this.started;
    this.started = true;
    if (on === (this.journal !== undefined)) {
      if (first && !on) this.removeOld();
      return;
    }
    if (!on) return this.forget();
    const path = this.path();
    if (path === undefined) {
      this.context.log.warn(
        `${this.context.bridge}: persist-flows: there is no place to keep them`,
      );
      return;
    }
    try {
      const old = journalExists(path);
      const { clock } = this.context;
      this.journal = new FlowJournal(path, clock, (error) => this.complain(error));
      if (first && old) this.restore(this.journal.read());
      this.rewrite();
    } catch (error) {
      this.complain(error);
      return;
    }
    this.unlisten = this.context.tables.listen((changes) => this.note(changes));
  }

  /** Everything so far survives the end of the process. */
  flush(): void {
    try {
      this.journal?.flush();
    } catch (error) {
      this.complain(error);
    }
  }

  /** A meter came, went or changed. */
  metersChanged(): void {
    if (!this.journal) return;
    const now = this.meterLines();
    for (const [id, line] of now) if (this.meters.get(id) !== line) this.append(line);
    for (const id of this.meters.keys()) {
      if (!now.has(id)) this.append(JSON.stringify({ noMeter: id }));
    }
    this.meters = now;
  }

  tunnelOptionsChanged(): void {
    if (this.journal) this.append(this.tlvLine());
  }

  /** The process ends; the file stays. To be called before the tables are emptied. */
  close(): void {
    this.unlisten();
    this.journal?.close();
    this.journal = undefined;
  }

  /** The bridge's flows are not to be kept any more. */
  forget(): void {
    this.unlisten();
    this.journal?.remove();
    this.journal = undefined;
  }

  private path(): string | undefined {
    const { stateDir, bridge } = this.context;
    return stateDir && join(stateDir, "flows", `${encodeURIComponent(bridge)}.jsonl`);
  }

  private removeOld(): void {
    const path = this.path();
    if (path === undefined || !journalExists(path)) return;
    new FlowJournal(path, this.context.clock, () => {}).remove();
  }

  private complain(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.context.log.err(`${this.context.bridge}: flows are not kept: ${text}`);
  }

  private append(line: string): void {
    const { journal } = this;
    if (!journal) return;
    journal.append(line);
    const live = this.context.tables.size + this.meters.size;
    if (journal.lines > 2 * live + SLACK_LINES) this.rewrite();
  }

  private note(changes: readonly TablesChange[]): void {
    for (const change of changes) {
      switch (change.event) {
        case "added":
        case "modified":
          if (!change.rule.hidden) this.append(this.flowLine(change.rule));
          break;
        case "removed":
          if (!change.rule.hidden) this.append(this.goneLine(change.rule));
          break;
        case "group": {
          const group = this.context.tables.groups.get(change.group);
          this.append(group ? groupLine(group) : JSON.stringify({ noGroup: change.group }));
          break;
        }
        case "settings":
          this.metersChanged();
          break;
        case "vacancy":
          break;
        default: {
          const never: never = change;
          throw new Error(`tables change ${never}`);
        }
      }
    }
  }

  /** Writes what there is, and nothing of the past. */
  private rewrite(): void {
    const { tables } = this.context;
    this.meters = this.meterLines();
    const lines = [this.tlvLine(), ...this.meters.values()];
    for (const group of tables.groups.select(GROUP_ALL)) lines.push(groupLine(group));
    for (const rule of tables.select(EVERY_FLOW)) lines.push(this.flowLine(rule));
    this.journal?.rewrite(lines);
  }

  private meterLines(): Map<number, string> {
    return new Map(
      this.context.tables.meters.select(METER_ALL)
        .map(({ config }) => [config.meter, JSON.stringify({ meter: config })]),
    );
  }

  private tlvLine(): string {
    const tlv = this.context.tlvTable.list()
      .map(({ optionClass, optionType, optionLength, index }) => (
        { optionClass, optionType, optionLength, index }
      ));
    return JSON.stringify({ tlv });
  }

  private get names(): TextNames {
    return {
      nameOf: () => undefined,
      numberOf: () => undefined,
      tunnelFields: this.context.tlvTable,
    };
  }

  private flowLine(rule: Rule): string {
    const flow = formatFlow(describeRule(rule, this.context.clock.now()), {
      stats: false,
      names: this.names,
    });
    return JSON.stringify({ flow });
  }

  private goneLine(rule: Rule): string {
    const bare = {
      ...describeRule(rule, this.context.clock.now()),
      cookie: 0n,
      idleTimeout: 0,
      hardTimeout: 0,
      importance: 0,
      flags: 0,
      actions: [],
    };
    const text = formatFlow(bare, { stats: false, names: this.names });
    const noFlow = text.replace(/ ?actions=drop$/, "");
    return JSON.stringify({ noFlow });
  }

  /** Carries the lines out, over tables that begin empty. */
  private restore(lines: readonly string[]): void {
    const { tables, log, bridge } = this.context;
    tables.flush();
    let failed = 0;
    for (const line of lines) {
      try {
        this.carryOut(parseLine(line));
      } catch (error) {
        if (!isForeseen(error)) throw error;
        if (failed++ === 0) log.warn(`${bridge}: kept flows: ${error.message}: ${line}`);
      }
    }
    const flows = [...tables.select(EVERY_FLOW)].length;
    log.info(
      `${bridge}: ${flows} kept flows, ${tables.groups.size} groups are back` +
        (failed > 0 ? `; ${failed} lines could not be used` : ""),
    );
  }

  private carryOut(line: Line): void {
    const { tables, tlvTable } = this.context;
    const { names } = this;
    const { flow, noFlow, group, noGroup, meter, noMeter, tlv } = line;
    if (flow !== undefined) {
      tables.apply(withTable(parseFlow(flow, { command: "add", names })));
    } else if (noFlow !== undefined) {
      tables.apply(withTable(parseFlow(noFlow, { command: "delete_strict", names })));
    } else if (group) tables.groups.apply(groupOf(group, names));
    else if (noGroup !== undefined) {
      tables.groups.apply({ command: "delete", groupType: "all", group: noGroup, buckets: [] });
    } else if (meter) {
      if (tables.meters.get(meter.meter)) tables.meters.modify(meter);
      else tables.meters.add(meter);
    } else if (noMeter !== undefined) tables.meters.delete(noMeter);
    else if (tlv) {
      tlvTable.apply({ type: "tlv_table_mod", command: "clear", mappings: [] });
      tlvTable.apply({ type: "tlv_table_mod", command: "add", mappings: tlv });
    } else throw new TextError("a line says nothing that is known");
  }
}

/** A flow's text leaves table 0 out. */
function withTable<T extends { readonly table: number }>(mod: T): T {
  return mod.table === TABLE_ALL ? { ...mod, table: 0 } : mod;
}

const EVERY_FLOW = {
  table: TABLE_ALL,
  match: anyMatch(),
  outPort: PORTS.ANY,
  outGroup: GROUP_ANY,
  cookie: 0n,
  cookieMask: 0n,
} as const;

interface KeptBucket extends Omit<Bucket, "actions"> {
  readonly actions: string;
}

interface KeptGroup {
  readonly id: number;
  readonly type: GroupType;
  readonly buckets: readonly KeptBucket[];
  readonly selection?: {
    readonly method: string;
    readonly parameter: string;
    readonly fields: readonly { readonly field: string; readonly mask: string }[];
  };
}

/** What a line says; this program wrote it, but somebody may have edited it since. */
interface Line {
  readonly flow?: string;
  readonly noFlow?: string;
  readonly group?: KeptGroup;
  readonly noGroup?: number;
  readonly meter?: MeterConfig;
  readonly noMeter?: number;
  readonly tlv?: readonly TlvMapping[];
}

function parseLine(text: string): Line {
  const line: unknown = JSON.parse(text);
  if (typeof line !== "object" || line === null) throw new TextError("a line is no object");
  return line;
}

function groupLine({ id, type, buckets, selection }: Group): string {
  const group: KeptGroup = {
    id,
    type,
    buckets: buckets.map((bucket) => ({ ...bucket, actions: formatActions(bucket.actions) })),
    ...(selection && {
      selection: {
        method: selection.method,
        parameter: String(selection.parameter),
        fields: selection.fields
          .map(({ field, mask }) => ({ field: field.name, mask: String(mask) })),
      },
    }),
  };
  return JSON.stringify({ group });
}

function groupOf(
  { id, type, buckets, selection }: KeptGroup,
  names: TextNames,
): Omit<GroupMod, "type"> {
  return {
    command: "add_or_mod",
    groupType: type,
    group: id,
    buckets: buckets.map((bucket) => ({
      ...bucket,
      actions: bucket.actions === "drop" ? [] : parseActions(bucket.actions, names),
    })),
    ...(selection && {
      selection: {
        method: selection.method,
        parameter: BigInt(selection.parameter),
        fields: selection.fields.map(({ field: name, mask }) => {
          const field = FIELD_LIST.find((each) => each.name === name);
          if (!field) throw new TextError(`there is no field ${name}`);
          return { field, mask: BigInt(mask) };
        }),
      },
    }),
  };
}

function isForeseen(error: unknown): error is Error {
  // A TypeError is what becomes of a member that is missing, or not what it should be.
  return error instanceof TextError || error instanceof OfError || error instanceof SyntaxError ||
    error instanceof TypeError;
}
