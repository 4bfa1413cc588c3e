/** Table descriptions, and what a switch tells unasked of roles, tables and others' requests. */
import { OfError } from "../errors.ts";
import type { Reader, Writer } from "../wire.ts";
import { readProperties, writeProperty } from "./properties.ts";
import { isNicira, isOnf, isStandard, list, type MessageRow, row } from "./rows.ts";
import type { RequestForward, RoleStatus, TableDesc, TableStatus, WireForm } from "./types.ts";

const EVICTION = 1 << 2;
const VACANCY_EVENTS = 1 << 3;
const PROPERTY = { EVICTION: 2, VACANCY: 3 } as const;

function readDesc(reader: Reader): TableDesc {
  const at = reader.offset;
  const length = reader.peek16();
  if (length < 8 || length % 8 !== 0) {
    throw new OfError("OFPBRC_BAD_LEN", at, `table description of ${length} bytes`);
  }
  const body = reader.sub(length);
  body.skip(2);
  const table = body.u8();
  body.skip(1);
  const config = body.u32();
  let evictionFlags: number | undefined;
  let vacancy: TableDesc["vacancy"];
  readProperties(body, (type, value) => {
    if (type === PROPERTY.EVICTION) evictionFlags = value.u32();
    else if (type === PROPERTY.VACANCY) {
      vacancy = { down: value.u8(), up: value.u8(), now: value.u8() };
    }
  });
  return {
    table,
    eviction: (config & EVICTION) !== 0,
    ...(evictionFlags !== undefined && { evictionFlags }),
    ...(vacancy && { vacancy }),
  };
}

function writeDesc(writer: Writer, desc: TableDesc): void {
  const { table, eviction, evictionFlags, vacancy } = desc;
  const open = writer.open(0);
  writer.u16(0).u8(table).zeros(1);
  writer.u32((eviction ? EVICTION : 0) | (vacancy ? VACANCY_EVENTS : 0));
  if (evictionFlags !== undefined) {
    writeProperty(writer, PROPERTY.EVICTION, (w) => w.u32(evictionFlags));
  }
  if (vacancy) {
    writeProperty(writer, PROPERTY.VACANCY, (w) => {
      w.u8(vacancy.down).u8(vacancy.up).u8(vacancy.now).zeros(1);
    });
  }
  writer.end(open);
}

/** By wire number. */
const TABLE_REASONS: readonly (TableStatus["reason"] | undefined)[] = [
  undefined,
  undefined,
  undefined,
  "vacancy_down",
  "vacancy_up",
];
const ROLES: readonly RoleStatus["role"][] = ["nochange", "equal", "primary", "secondary"];
const ROLE_REASONS: readonly RoleStatus["reason"][] = [
  "primary_request",
  "config",
  "experimenter",
];
const NO_GENERATION = 0xffffffffffffffffn;

function roleStatus(id: string, form: { form?: "onf" }): MessageRow {
  return row<"role_status">({
    type: "role_status",
    ids: [id],
    when: form.form ? isOnf : isStandard,
    read: (reader) => {
      const at = reader.offset;
      const role = ROLES[reader.u32()];
      const reason = ROLE_REASONS[reader.u8()];
      if (!role || !reason) throw new OfError("OFPRRFC_BAD_ROLE", at, "no such role or reason");
      reader.skip(3);
      const generationId = reader.u64();
      readProperties(reader, () => {});
      return {
        type: "role_status",
        ...form,
        role,
        reason,
        ...(generationId !== NO_GENERATION && { generationId }),
      };
    },
    write: (writer, message) => {
      writer.u32(ROLES.indexOf(message.role)).u8(ROLE_REASONS.indexOf(message.reason)).zeros(3);
      writer.u64(message.generationId ?? NO_GENERATION);
    },
  });
}

function forward(id: string, form: { form?: WireForm }): MessageRow {
  return row<"requestforward">({
    type: "requestforward",
    ids: [id],
    when: form.form === "nicira" ? isNicira : form.form ? isOnf : isStandard,
    read: (reader): RequestForward => {
      const at = reader.offset;
      const length = reader.left >= 8 ? reader.peek16(2) : 0;
      if (length < 8 || length > reader.left) {
        throw new OfError("OFPBFC_MSG_BAD_LEN", at, `inner message of ${length} bytes`);
      }
      const inner = reader.copy(length);
      reader.skip(reader.left);
      return { type: "requestforward", ...form, inner };
    },
    write: (writer, message) => {
      writer.put(message.inner);
    },
  });
}

export const STATUS_ROWS: readonly MessageRow[] = [
  list<"table_desc_reply", TableDesc>("table_desc_reply", ["OFPST_REPLY 1.4+(14)"], {
    make: (tables) => ({ type: "table_desc_reply", tables }),
    items: (message) => message.tables,
    readItem: readDesc,
    writeItem: writeDesc,
  }),
  row<"table_status">({
    type: "table_status",
    ids: ["OFPT 1.4+(31)"],
    read: (reader) => {
      const at = reader.offset;
      const reason = TABLE_REASONS[reader.u8()];
      if (!reason) throw new OfError("OFPBPC_BAD_VALUE", at, "no such reason");
      reader.skip(7);
      return { type: "table_status", reason, desc: readDesc(reader) };
    },
    write: (writer, message) => {
      writer.u8(TABLE_REASONS.indexOf(message.reason)).zeros(7);
      writeDesc(writer, message.desc);
    },
  }),
  roleStatus("OFPT 1.4+(30)", {}),
  roleStatus("ONFT 1.3(1911)", { form: "onf" }),
  forward("OFPT 1.4+(32)", {}),
  forward("ONFT 1.3(2350)", { form: "onf" }),
  forward("NXT 1.0-1.2(132)", { form: "nicira" }),
];
