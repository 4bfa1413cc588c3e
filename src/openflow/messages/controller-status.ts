/**
 * What OpenFlow 1.5 adds about connections: the state of each controller's (§7.3.5.20, §7.4.8), and
 * what kinds of bundles there are (§7.3.5.21).
 *
 *      0        16         32                64
 *     +--------+----------+-----------------+
 *     | length | short id | role            |
 *     +--------+----------+--------+--------+
 *     | reason | channel  | padding (48)    |
 *     +--------+----------+-----------------+
 *     | properties: 0 = the controller's URI|
 */
import { OfError } from "../errors.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, writeProperty } from "./properties.ts";
import { bare, list, type MessageRow, row } from "./rows.ts";
import type { ControllerStatus, Role } from "./types.ts";

const MINIMUM_BYTES = 16;
const URI = 0;
const CHANNEL_UP = 0;
const CHANNEL_DOWN = 1;
const ROLES: readonly Role[] = ["nochange", "equal", "primary", "secondary"];
const REASONS: readonly ControllerStatus["reason"][] = [
  "request",
  "channel_status",
  "role",
  "controller_added",
  "controller_removed",
  "short_id",
  "experimenter",
];

function readStatus(reader: Reader): ControllerStatus {
  const at = reader.offset;
  const length = reader.left >= MINIMUM_BYTES ? reader.peek16() : 0;
  if (length < MINIMUM_BYTES || length > reader.left) {
    throw new OfError("OFPBRC_BAD_LEN", at, `controller status of ${length} bytes`);
  }
  const body = reader.sub(length);
  body.skip(2);
  const shortId = body.u16();
  const role = ROLES[body.u32()];
  const reason = REASONS[body.u8()];
  const channel = body.u8();
  if (!role || !reason) throw new OfError("OFPBPC_BAD_VALUE", at, "no such role or reason");
  body.skip(6);
  let uri = "";
  readProperties(body, (type, value) => {
    if (type === URI) uri = value.text(value.left);
  });
  return { shortId, role, reason, channelUp: channel === CHANNEL_UP, uri };
}

function writeStatus(writer: Writer, status: ControllerStatus): void {
  const open = writer.open(0);
  writer.u16(0).u16(status.shortId).u32(ROLES.indexOf(status.role));
  writer.u8(REASONS.indexOf(status.reason)).u8(status.channelUp ? CHANNEL_UP : CHANNEL_DOWN);
  writer.zeros(6);
  writeProperty(writer, URI, (w) => w.put(new TextEncoder().encode(status.uri)));
  writer.end(open);
}

export const CONTROLLER_STATUS_ROWS: readonly MessageRow[] = [
  row<"controller_status">({
    type: "controller_status",
    ids: ["OFPT 1.5(35)"],
    read: (reader) => ({ type: "controller_status", ...readStatus(reader) }),
    write: writeStatus,
  }),
  bare("controller_status_request", "OFPST_REQUEST 1.5(18)"),
  list<"controller_status_reply", ControllerStatus>(
    "controller_status_reply",
    ["OFPST_REPLY 1.5(18)"],
    {
      make: (controllers) => ({ type: "controller_status_reply", controllers }),
      items: (message) => message.controllers,
      readItem: readStatus,
      writeItem: writeStatus,
    },
  ),
  row<"bundle_features_request">({
    type: "bundle_features_request",
    ids: ["OFPST_REQUEST 1.5(19)"],
    read: (reader) => {
      const features = reader.u32();
      reader.skip(4);
      // What times would suit the controller is of no use without scheduled bundles.
      readProperties(reader, () => {});
      return { type: "bundle_features_request", features };
    },
    write: (writer, { features }) => {
      writer.u32(features).zeros(4);
    },
  }),
  row<"bundle_features_reply">({
    type: "bundle_features_reply",
    ids: ["OFPST_REPLY 1.5(19)"],
    read: (reader) => {
      const capabilities = reader.u16();
      reader.skip(6);
      readProperties(reader, () => {});
      return { type: "bundle_features_reply", capabilities };
    },
    write: (writer, { capabilities }) => {
      writer.u16(capabilities).zeros(6);
    },
  }),
];
