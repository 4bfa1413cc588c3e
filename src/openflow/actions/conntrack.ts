/** `ct`, `nat` and `ct_clear`: connection tracking (NXAST_CT, NXAST_NAT, NXAST_CT_CLEAR). */
import { OfError } from "../errors.ts";
import { type ActionRow, bare, row } from "./rows.ts";
import { checkSubfield, ofsBits, readField32, writeFieldHeader } from "./subfield.ts";
import type { Action, CtAction, NatAction } from "./types.ts";

const CT_COMMIT = 1 << 0;
const CT_FORCE = 1 << 1;

const NAT = { SRC: 1, DST: 2, PERSISTENT: 4, HASH: 8, RANDOM: 16 } as const;
const RANGE = { IPV4_MIN: 1, IPV4_MAX: 2, IPV6_MIN: 4, IPV6_MAX: 8, PORT_MIN: 16, PORT_MAX: 32 };

/** Without a commit there is nothing that a mark, a label or an address could be written to. */
function checkUncommitted(actions: readonly Action[], offset: number): void {
  const idle = (action: Action): boolean =>
    action.type === "nat" && !action.source && !action.destination && !action.persistent &&
    !action.hash && !action.random && action.range === undefined;
  if (actions.every(idle)) return;
  const text = "CT action requires commit flag if actions other than NAT without arguments are " +
    "specified.";
  throw new OfError("OFPBAC_BAD_ARGUMENT", offset, text, {
    module: "ofp_actions",
    text: () => text,
  });
}

export const CONNTRACK_ROWS: readonly ActionRow[] = [
  row<"ct">({
    type: "ct",
    ids: "NX1.0+(35)",
    bytes: 24,
    variable: true,
    read: (reader, context) => {
      const at = reader.offset;
      const flags = reader.u16();
      if (flags & CT_FORCE && !(flags & CT_COMMIT)) {
        throw new OfError("OFPBAC_BAD_ARGUMENT", at, "force needs commit");
      }
      let zone: CtAction["zone"];
      if (reader.peek32() === 0) {
        reader.skip(4);
        zone = { value: reader.u16() };
      } else {
        const field = readField32(reader);
        const word = reader.u16();
        const subfield = { field, start: word >> 6, bits: (word & 0x3f) + 1 };
        checkSubfield(subfield, at);
        if (subfield.bits !== 16) {
          const text = `zone n_bits ${subfield.bits} not within valid range [16..16]`;
          throw new OfError("OFPBAC_BAD_SET_LEN", at, text, {
            module: "ofp_actions",
            text: () => text,
          });
        }
        zone = { subfield };
      }
      const recircTable = reader.u8();
      reader.skip(3);
      const alg = reader.u16();
      const actions = context.readActions(reader, "ct");
      if ((flags & CT_COMMIT) === 0) checkUncommitted(actions, at);
      return {
        type: "ct",
        commit: (flags & CT_COMMIT) !== 0,
        force: (flags & CT_FORCE) !== 0,
        zone,
        recircTable,
        alg,
        actions,
      };
    },
    write: (writer, action, context) => {
      writer.u16((action.commit ? CT_COMMIT : 0) | (action.force ? CT_FORCE : 0));
      if ("value" in action.zone) writer.u32(0).u16(action.zone.value);
      else {
        writeFieldHeader(writer, action.zone.subfield.field);
        writer.u16(ofsBits(action.zone.subfield));
      }
      writer.u8(action.recircTable).zeros(3).u16(action.alg);
      context.writeActions(writer, action.actions);
    },
  }),
  row<"nat">({
    type: "nat",
    ids: "NX1.0+(36)",
    bytes: 16,
    variable: true,
    read: (reader) => {
      const at = reader.offset;
      reader.zeros(2, "OFPBAC_BAD_ARGUMENT");
      const flags = reader.u16();
      const present = reader.u16();
      const bad = (why: string): never => {
        throw new OfError("OFPBAC_BAD_ARGUMENT", at, `nat: ${why}`);
      };
      const both = (bits: number): boolean => (flags & bits) === bits;
      if (both(NAT.SRC | NAT.DST)) bad("both source and destination");
      if (both(NAT.HASH | NAT.RANDOM)) bad("both hash and random");
      if (present !== 0 && !(flags & (NAT.SRC | NAT.DST))) bad("a range without a direction");
      const has = (bit: number): boolean => (present & bit) !== 0;
      let range: NatAction["range"];
      if (has(RANGE.IPV4_MIN)) {
        if (has(RANGE.IPV6_MIN)) bad("both IPv4 and IPv6");
        const min = BigInt(reader.u32());
        range = has(RANGE.IPV4_MAX)
          ? { ipv6: false, min, max: BigInt(reader.u32()) }
          : { ipv6: false, min };
      } else if (has(RANGE.IPV6_MIN)) {
        const min = reader.big(16);
        range = has(RANGE.IPV6_MAX)
          ? { ipv6: true, min, max: reader.big(16) }
          : { ipv6: true, min };
      }
      let ports: NatAction["ports"];
      if (has(RANGE.PORT_MIN)) {
        if (!range) bad("ports without an address");
        const min = reader.u16();
        ports = has(RANGE.PORT_MAX) ? { min, max: reader.u16() } : { min };
      }
      const wrong = (low: bigint | number, high: bigint | number | undefined): boolean =>
        high !== undefined && high < low;
      if (range && wrong(range.min, range.max)) bad("the address range ends before it begins");
      if (ports && wrong(ports.min, ports.max)) bad("the port range ends before it begins");
      reader.skip(reader.left);
      return {
        type: "nat",
        source: (flags & NAT.SRC) !== 0,
        destination: (flags & NAT.DST) !== 0,
        persistent: (flags & NAT.PERSISTENT) !== 0,
        hash: (flags & NAT.HASH) !== 0,
        random: (flags & NAT.RANDOM) !== 0,
        ...(range ? { range } : {}),
        ...(ports ? { ports } : {}),
      };
    },
    write: (writer, action) => {
      const { range, ports } = action;
      const flags = (action.source ? NAT.SRC : 0) | (action.destination ? NAT.DST : 0) |
        (action.persistent ? NAT.PERSISTENT : 0) | (action.hash ? NAT.HASH : 0) |
        (action.random ? NAT.RANDOM : 0);
      let present = 0;
      if (range) {
        present |= range.ipv6 ? RANGE.IPV6_MIN : RANGE.IPV4_MIN;
        if (range.max !== undefined) present |= range.ipv6 ? RANGE.IPV6_MAX : RANGE.IPV4_MAX;
      }
      if (ports) present |= RANGE.PORT_MIN | (ports.max === undefined ? 0 : RANGE.PORT_MAX);
      writer.zeros(2).u16(flags).u16(present);
      if (range) {
        const bytes = range.ipv6 ? 16 : 4;
        writer.big(range.min, bytes);
        if (range.max !== undefined) writer.big(range.max, bytes);
      }
      if (ports) {
        writer.u16(ports.min);
        if (ports.max !== undefined) writer.u16(ports.max);
      }
    },
  }),
  bare<"ct_clear">("ct_clear", "NX1.0+(43)", { type: "ct_clear" }),
];
