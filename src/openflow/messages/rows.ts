/**
 * How a message is declared: its numbers by version, and both directions of its body.
 *
 * `ids` lists `KIND VERSIONS(number)`. OFPT: the standard's message types. NXT, ONFT: vendor
 * messages by subtype. OFPST, NXST, ONFST with `_REQUEST` or `_REPLY`: multipart ("statistics")
 * messages by type or vendor subtype. The reader and writer of a row see the body only, after all
 * headers. To add a message: a record in types.ts, a row in one of the files beside.
 */
import type { OfVersion } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import type { MessageOf, MessageType } from "./types.ts";

export interface MessageContext {
  readonly version: OfVersion;
  /** OpenFlow 1.0: the upper byte of a flow-mod's command is the table (NXT_FLOW_MOD_TABLE_ID). */
  readonly flowModTableId: boolean;
  /** Skip unknown match fields, as a client does with what a switch says. */
  readonly loose: boolean;
  /** The whole message, headers included. */
  readonly bytes: Uint8Array;
}

export interface MessageRow<T extends MessageType = MessageType> {
  readonly type: T;
  readonly ids: readonly string[];
  /** Which records of the type this form can say; all if absent. */
  readonly when?: (message: MessageOf<T>, context: MessageContext) => boolean;
  readonly read: (reader: Reader, context: MessageContext) => MessageOf<T>;
  /** Writes the body, without the items of a list. */
  readonly write: (writer: Writer, message: MessageOf<T>, context: MessageContext) => void;
  /** A body that ends in a list which may go on in further parts. */
  readonly items?: (message: MessageOf<T>) => readonly unknown[];
  readonly readItem?: (reader: Reader, context: MessageContext) => unknown;
  readonly writeItem?: (writer: Writer, item: never, context: MessageContext) => void;
}

/** Types a row by its message, then forgets the type so that rows fit in one list. */
export function row<T extends MessageType>(declaration: MessageRow<T>): MessageRow {
  return declaration as unknown as MessageRow;
}

/** Messages with an empty body. */
export function bare(type: MessageType, ...ids: readonly string[]): MessageRow {
  return {
    type,
    ids,
    read: (reader) => {
      reader.finish(type);
      return { type } as never;
    },
    write: () => {},
  };
}

/** A multipart message that is a list and nothing else. */
export function list<T extends MessageType, I>(
  type: T,
  ids: readonly string[],
  shape: {
    readonly when?: (message: MessageOf<T>, context: MessageContext) => boolean;
    readonly make: (items: I[], context: MessageContext) => MessageOf<T>;
    readonly items: (message: MessageOf<T>) => readonly I[];
    /** Must read something. */
    readonly readItem: (reader: Reader, context: MessageContext) => I;
    readonly writeItem: (writer: Writer, item: I, context: MessageContext) => void;
  },
): MessageRow {
  return row<T>({
    type,
    ids,
    ...(shape.when ? { when: shape.when } : {}),
    read: (reader, context) => {
      const items: I[] = [];
      while (reader.left > 0) items.push(shape.readItem(reader, context));
      return shape.make(items, context);
    },
    write: () => {},
    items: shape.items,
    readItem: shape.readItem,
    writeItem: shape.writeItem as (writer: Writer, item: never, context: MessageContext) => void,
  });
}

/** Whether a record with this `form` is to be said in the version's own way. */
export const isStandard = (message: { readonly form?: unknown }): boolean =>
  message.form === undefined;
export const isNicira = (message: { readonly form?: unknown }): boolean =>
  message.form === "nicira";
export const isOnf = (message: { readonly form?: unknown }): boolean => message.form === "onf";
