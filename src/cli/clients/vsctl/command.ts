/**
 * What a command of `vsctl` is: declared as data, so that parsing, help, completion and the choice
 * of the columns to fetch all follow from one declaration.
 *
 * A command runs on a draft of the transaction, together with the others of its command line. It may
 * run several times, until the transaction is accepted: it must not act on anything but the draft.
 */
import type { TableName } from "../../../db/replica.ts";
import type { Draft, DraftRow } from "../../../db/client/draft.ts";
import type { Uuid } from "../../../db/schema/declare.ts";
import type { DatabaseSchema } from "../../../db/schema/schema.ts";
import type { ClientLog } from "../client-log.ts";
import type { Table } from "../table.ts";
import type { Symbols } from "../value-text.ts";
import type { BridgeModel } from "./model.ts";

/** Columns that the commands of one command line need. */
export class Wanted {
  readonly columns = new Map<string, Set<string>>();

  /** The table's rows, with these columns besides those asked for earlier. */
  add(table: TableName | (string & Record<never, never>), ...columns: readonly string[]): void {
    const set = this.columns.get(table) ?? new Set<string>();
    for (const column of columns) set.add(column);
    this.columns.set(table, set);
  }
}

export interface Prepared {
  readonly args: readonly string[];
  readonly options: ReadonlyMap<string, string | undefined>;
  readonly schema: DatabaseSchema;
  readonly wanted: Wanted;
  readonly log: ClientLog;
}

export interface Running {
  /** The arguments after the command's name. */
  readonly args: readonly string[];
  /** Its options with their dashes. */
  readonly options: ReadonlyMap<string, string | undefined>;
  readonly name: string;
  readonly schema: DatabaseSchema;
  readonly draft: Draft;
  readonly symbols: Symbols;
  /** The one row of the table Open_vSwitch. */
  readonly root: DraftRow<"Open_vSwitch">;
  readonly model: BridgeModel;
  readonly log: ClientLog;
  /** No other command follows: changes of members may be left to the server to merge. */
  readonly last: boolean;
  /** To be checked once the switch has taken the change in. */
  expectInterface(row: DraftRow<"Interface">): void;
  print(text: string): void;
  printTable(table: Table): void;
  /** Something that is waited for is not so yet: run all again after the next update. */
  tryAgain(): void;
}

export interface CommandDeclaration {
  readonly name: string;
  /** Numbers of arguments. */
  readonly min: number;
  readonly max: number;
  /** As in `--commands`: `[X]` may be left out, `X...` may be repeated. */
  readonly args: string;
  /** With dashes; `=` at the end: takes a value. */
  readonly options: readonly string[];
  readonly writes: boolean;
  readonly help: string;
  /** Tells which columns it will read. Throws `Fatal`. */
  prepare?(command: Prepared): void;
  /** Throws `Fatal` if it cannot be done, and then nothing of the command line is. */
  run?(command: Running): void;
  /** Gets the command's output once the change is made; `uuidOf` gives an inserted row's UUID. */
  finish?(output: string, uuidOf: (row: Uuid) => Uuid): string;
}

export const UNLIMITED_ARGS = Number.MAX_SAFE_INTEGER;
