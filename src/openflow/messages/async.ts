/**
 * Which asynchronous messages a connection wants (OpenFlow 1.3.5 §7.3.10, 1.4.1 §7.3.10): two bitmaps
 * of reasons for each kind, for equal or primary controllers and for secondary ones.
 *
 * OpenFlow 1.3 and Nicira's first extension have the first three kinds in a fixed structure; 1.4
 * and Nicira's second have a property for each bitmap, with even numbers for secondary controllers.
 */
import { OfError } from "../errors.ts";
import { OF14, OF15, type OfVersion } from "../version.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, writeProperty } from "./properties.ts";
import { bare, type MessageContext, type MessageRow, row } from "./rows.ts";
import type { AsyncConfig, AsyncKind, AsyncMasks } from "./types.ts";

/** In wire order. */
const KINDS: readonly AsyncKind[] = [
  "packet_in",
  "port_status",
  "flow_removed",
  "role_status",
  "table_status",
  "requestforward",
  "flow_stats",
  "controller_status",
];
const FIXED_KINDS = KINDS.slice(0, 3);
/** How many kinds OpenFlow 1.4 has. */
const KINDS_14 = 6;
const EXPERIMENTER = 0xffff;
const EXPERIMENTER_SECONDARY = 0xfffe;

/** Reasons that may be asked for (`ofp_packet_in_reason` …). */
function knownReasons(kind: AsyncKind, version: OfVersion): number {
  switch (kind) {
    case "packet_in":
      return version >= OF14 ? 0b111111 : 0b111;
    case "port_status":
      return 0b111;
    case "flow_removed":
      return 0b111111;
    case "role_status":
      return 0b111;
    case "table_status":
      return 0b11000;
    case "requestforward":
      return 0b11;
    case "flow_stats":
      return 0b11;
    case "controller_status":
      return 0b111111;
    default: {
      const never: never = kind;
      return never;
    }
  }
}

type Masks = Partial<Record<AsyncKind, Partial<AsyncMasks>>>;

function readFixed(reader: Reader): Masks {
  const masks: Masks = {};
  for (const kind of FIXED_KINDS) masks[kind] = { primary: reader.u32(), secondary: reader.u32() };
  return masks;
}

function writeFixed(writer: Writer, { masks }: AsyncConfig): void {
  for (const kind of FIXED_KINDS) {
    writer.u32(masks[kind]?.primary ?? 0).u32(masks[kind]?.secondary ?? 0);
  }
}

function readTyped(reader: Reader, { version, loose }: MessageContext): Masks {
  const masks: Masks = {};
  readProperties(reader, (type, value, at) => {
    const kind = KINDS[type >> 1];
    if (!kind || (version < OF15 && type >= 2 * KINDS_14)) {
      if (loose) return;
      const vendor = type === EXPERIMENTER || type === EXPERIMENTER_SECONDARY;
      const error = vendor ? "OFPBPC_BAD_EXPERIMENTER" : "OFPACFC_UNSUPPORTED";
      const text = `unknown async config property type ${type}`;
      throw new OfError(error, at, text, { module: "ofp_prop", text: () => text });
    }
    const bits = value.u32();
    const allowed = knownReasons(kind, version);
    if (bits & ~allowed && !loose) {
      const text = `bad value 0x${bits.toString(16)} for ${kind.toUpperCase()} ` +
        `(allowed mask 0x${allowed.toString(16)})`;
      throw new OfError("OFPACFC_INVALID", at, text, {
        module: "ofp_connection",
        text: () => text,
      });
    }
    const known = bits & allowed;
    masks[kind] = { ...masks[kind], [type & 1 ? "primary" : "secondary"]: known };
  });
  return masks;
}

function writeTyped(writer: Writer, { masks }: AsyncConfig, { version }: MessageContext): void {
  KINDS.forEach((kind, i) => {
    const { primary, secondary } = masks[kind] ?? {};
    if (version < OF15 && i >= KINDS_14) return;
    if (secondary !== undefined) writeProperty(writer, 2 * i, (w) => w.u32(secondary));
    if (primary !== undefined) writeProperty(writer, 2 * i + 1, (w) => w.u32(primary));
  });
}

interface Shape {
  readonly read: (reader: Reader, context: MessageContext) => Masks;
  readonly write: (writer: Writer, message: AsyncConfig, context: MessageContext) => void;
}
const FIXED: Shape = { read: readFixed, write: writeFixed };
const TYPED: Shape = { read: readTyped, write: writeTyped };

function config(
  type: AsyncConfig["type"],
  id: string,
  form: AsyncConfig["form"],
  { read, write }: Shape,
): MessageRow {
  return row<typeof type>({
    type,
    ids: [id],
    when: (message: AsyncConfig) => message.form === form,
    read: (reader, context) =>
      ({
        type,
        ...(form && { form }),
        // Only what a switch says may be more than is known.
        masks: read(reader, { ...context, loose: type === "get_async_reply" && context.loose }),
      }) as never,
    write,
  });
}

export const ASYNC_ROWS: readonly MessageRow[] = [
  bare("get_async_request", "OFPT 1.3+(26)"),
  config("get_async_reply", "OFPT 1.3(27)", undefined, FIXED),
  config("get_async_reply", "OFPT 1.4+(27)", undefined, TYPED),
  config("set_async", "OFPT 1.3(28)", undefined, FIXED),
  config("set_async", "OFPT 1.4+(28)", undefined, TYPED),
  config("set_async", "NXT 1.0+(19)", "nicira", FIXED),
  config("set_async", "NXT 1.0-1.3(27)", "nicira2", TYPED),
];
