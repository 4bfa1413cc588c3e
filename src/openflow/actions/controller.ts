/** `controller(…)`: a packet to a controller with all that can be said about it. */
import { OfError } from "../errors.ts";
import type { Reader, Writer } from "../wire.ts";
import { type ActionRow, row } from "./rows.ts";
import type { ActionOf, PacketInReason } from "./types.ts";
import { named } from "./choice.ts";

/** OFPR_* by number; 0 is called by what it means from OpenFlow 1.3 on only where it matters. */
export const REASONS: readonly PacketInReason[] = [
  "no_match",
  "action",
  "invalid_ttl",
  "action_set",
  "group",
  "packet_out",
  "explicit_miss",
  "implicit_miss",
];

export const NO_METER = 0xffffffff;

/** Properties of NXAST_CONTROLLER2. */
const CONTROLLER2 = { MAX_LEN: 0, ID: 1, REASON: 2, USERDATA: 3, PAUSE: 4, METER: 5 } as const;

function needsController2(action: ActionOf<"controller">): boolean {
  return action.userdata.length > 0 || action.pause ||
    (action.meterId !== undefined && action.meterId !== NO_METER);
}

function readController2(reader: Reader): ActionOf<"controller"> {
  reader.zeros(6, "NXBRC_MUST_BE_ZERO");
  let maxLength = 0xffff;
  let controllerId = 0;
  let reason: PacketInReason = "action";
  let userdata = new Uint8Array(0);
  let pause = false;
  let meterId: number | undefined;
  // What is left after the last property is padding to eight bytes, less than a property's header.
  while (reader.left >= 4) {
    const at = reader.offset;
    const type = reader.peek16();
    const length = reader.peek16(2);
    if (length < 4 || length > reader.left) {
      throw new OfError("OFPBPC_BAD_LEN", at, `property of ${length} bytes`);
    }
    const body = reader.sub(Math.min(reader.left, (length + 7) & ~7), "OFPBPC_BAD_LEN");
    body.skip(4);
    const property = body.sub(length - 4);
    switch (type) {
      case CONTROLLER2.MAX_LEN:
        maxLength = property.u16();
        break;
      case CONTROLLER2.ID:
        controllerId = property.u16();
        break;
      case CONTROLLER2.REASON:
        reason = named(REASONS, property.u8(), at, "reason");
        break;
      case CONTROLLER2.USERDATA:
        userdata = property.rest() as Uint8Array<ArrayBuffer>;
        break;
      case CONTROLLER2.PAUSE:
        pause = true;
        break;
      case CONTROLLER2.METER:
        meterId = property.u32();
        break;
      default:
        throw new OfError("OFPBPC_BAD_TYPE", at, `controller property ${type} is unknown`);
    }
  }
  return {
    type: "controller",
    maxLength,
    controllerId,
    reason,
    userdata,
    pause,
    ...(meterId === undefined ? {} : { meterId }),
  };
}

function writeController2(writer: Writer, action: ActionOf<"controller">): void {
  writer.zeros(6);
  const property = (type: number, body: (w: Writer) => void): void => {
    const open = writer.open(2);
    writer.u16(type).u16(0);
    body(writer);
    writer.end(open);
    writer.pad8(open.start);
  };
  if (action.maxLength !== 0xffff) {
    property(CONTROLLER2.MAX_LEN, (w) => w.u16(action.maxLength).zeros(2));
  }
  if (action.controllerId !== 0) {
    property(CONTROLLER2.ID, (w) => w.u16(action.controllerId).zeros(2));
  }
  if (action.reason !== "action") {
    property(CONTROLLER2.REASON, (w) => w.u8(REASONS.indexOf(action.reason)));
  }
  if (action.userdata.length > 0) property(CONTROLLER2.USERDATA, (w) => w.put(action.userdata));
  if (action.pause) property(CONTROLLER2.PAUSE, () => {});
  const { meterId } = action;
  if (meterId !== undefined && meterId !== NO_METER) {
    property(CONTROLLER2.METER, (w) => w.u32(meterId));
  }
}

export const CONTROLLER_ROWS: readonly ActionRow[] = [
  row<"controller">({
    type: "controller",
    ids: "NX1.0+(20)",
    bytes: 16,
    when: (action) => !needsController2(action),
    read: (reader) => {
      const maxLength = reader.u16();
      const controllerId = reader.u16();
      const at = reader.offset;
      const reason = named(REASONS, reader.u8(), at, "reason");
      reader.skip(1);
      const userdata = new Uint8Array(0);
      return { type: "controller", maxLength, controllerId, reason, userdata, pause: false };
    },
    write: (writer, action) => {
      writer.u16(action.maxLength).u16(action.controllerId);
      writer.u8(REASONS.indexOf(action.reason)).u8(0);
    },
  }),
  row<"controller">({
    type: "controller",
    ids: "NX1.0+(37)",
    bytes: 16,
    variable: true,
    read: readController2,
    write: writeController2,
  }),
];
