/**
 * How an action is declared: its numbers by version, its size, and both directions of its bytes.
 *
 * `ids` lists `DOMAIN VERSIONS(number)`: OF = the standard's action types, NX and ONF = vendor
 * subtypes. The header is four bytes (type, length) for the standard's,
 *
 *      0        16       32                64         80
 *     +--------+--------+-----------------+----------+
 *     | 0xffff | length | vendor          | subtype  |
 *     +--------+--------+-----------------+----------+
 *
 * ten for vendors'. `bytes` is the whole length, a minimum if `variable`; every action is a
 * multiple of eight bytes long. To add an action: one record in types.ts, one row here or beside.
 */
import type { OfVersion } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import type { Action, ActionOf, ActionType } from "./types.ts";
import type { Outer } from "./verify.ts";

/** Where an action stands, for those that hold others. */
export interface ActionContext {
  readonly version: OfVersion;
  /** Reads a list of actions inside of `outer` to the reader's end. */
  readActions(reader: Reader, outer?: Outer): Action[];
  writeActions(writer: Writer, actions: readonly Action[]): void;
}

export interface ActionRow<T extends ActionType = ActionType> {
  readonly type: T;
  readonly ids: string;
  readonly bytes: number;
  readonly variable?: boolean;
  /** Which records of the type this form can say; all if absent. */
  readonly when?: (action: ActionOf<T>, version: OfVersion) => boolean;
  /** Reads what follows the header; the reader ends with the action and names OFPBAC_BAD_LEN. */
  readonly read: (reader: Reader, context: ActionContext) => ActionOf<T>;
  /** Writes what follows the header; the end is padded to a multiple of eight. */
  readonly write: (writer: Writer, action: ActionOf<T>, context: ActionContext) => void;
}

/** Types a row by its action, then forgets the type so that rows fit in one list. */
export function row<T extends ActionType>(declaration: ActionRow<T>): ActionRow {
  return declaration as unknown as ActionRow;
}

/** An action that is only a header. */
export function bare<T extends ActionType>(
  type: T,
  ids: string,
  action: ActionOf<T>,
): ActionRow {
  const bytes = ids.startsWith("NX") ? 16 : 8;
  return row<T>({
    type,
    ids,
    bytes,
    read: (reader) => {
      reader.skip(reader.left);
      return action;
    },
    write: () => {},
  });
}

/** An action with one integer, aligned to its size after the header. */
export function integer<T extends ActionType>(
  type: T,
  ids: string,
  size: 1 | 2 | 4,
  make: (value: number, at: number) => ActionOf<T>,
  value: (action: ActionOf<T>) => number,
  when?: (action: ActionOf<T>, version: OfVersion) => boolean,
): ActionRow {
  const vendor = ids.startsWith("NX");
  const padding = vendor && size === 4 ? 2 : 0;
  return row<T>({
    type,
    ids,
    bytes: vendor ? 16 : 8,
    ...(when ? { when } : {}),
    read: (reader) => {
      reader.skip(padding);
      const at = reader.offset;
      const number = size === 1 ? reader.u8() : size === 2 ? reader.u16() : reader.u32();
      reader.skip(reader.left);
      return make(number, at);
    },
    write: (writer, action) => {
      writer.zeros(padding);
      const number = value(action);
      if (size === 1) writer.u8(number);
      else if (size === 2) writer.u16(number);
      else writer.u32(number);
    },
  });
}
