/**
 * What goes with a packet to a controller beside its bytes: the pipeline fields that no header of the
 * packet holds (`flow_get_metadata` of Open vSwitch): the input port always, the others where they are
 * not zero.
 */
import { fieldIsZero, fullMask } from "../../openflow/field-bits.ts";
import { ETH_TYPE, prerequisiteMet, setMatchField } from "../../openflow/match-set.ts";
import { type TunnelFields, tunnelOptions } from "../../openflow/tunnel-fields.ts";
import { anyMatch, FlowKey, maskField, type Match, SharedMask } from "../../packet/key.ts";
import { type Field, FIELDS, SLOTS } from "../../packet/layout.ts";

const REGISTERS: readonly Field[] = Array.from(
  { length: SLOTS.get("regs")!.bytes / 4 },
  (_, n) => FIELDS[`reg${n}` as "reg0"],
);
/** Fields that go along when they are not zero. */
const OPTIONAL: readonly Field[] = [
  FIELDS.tun_id,
  FIELDS.tun_flags,
  FIELDS.tun_src,
  FIELDS.tun_dst,
  FIELDS.tun_ipv6_src,
  FIELDS.tun_ipv6_dst,
  FIELDS.tun_gbp_id,
  FIELDS.tun_gbp_flags,
  FIELDS.tun_erspan_ver,
  FIELDS.tun_erspan_idx,
  FIELDS.tun_erspan_dir,
  FIELDS.tun_erspan_hwid,
  FIELDS.tun_gtpu_flags,
  FIELDS.tun_gtpu_msgtype,
  FIELDS.metadata,
  FIELDS.pkt_mark,
  FIELDS.packet_type,
  FIELDS.ct_zone,
  FIELDS.ct_mark,
  FIELDS.ct_label,
  ...REGISTERS,
];
const CT_TUPLE: readonly Field[] = [FIELDS.ct_nw_proto, FIELDS.ct_tp_src, FIELDS.ct_tp_dst];
const CT_IPV4: readonly Field[] = [FIELDS.ct_nw_src, FIELDS.ct_nw_dst, ...CT_TUPLE];
const CT_IPV6: readonly Field[] = [FIELDS.ct_ipv6_src, FIELDS.ct_ipv6_dst, ...CT_TUPLE];

/** Masks of metadata that are kept: one for each set of fields that packets came with. */
const MAX_MASKS = 256;

export class PacketMetadata {
  /** By the fields of `OPTIONAL` that are there, bit by bit. */
  private readonly masks = new Map<number, SharedMask>();
  private readonly key = new FlowKey();

  constructor(private readonly tunnelFields: TunnelFields) {}

  /** The metadata of a packet with this key; its key is good until the next call. */
  of(key: FlowKey): Match {
    const state = key.get(FIELDS.ct_state);
    if (state !== 0 || tunnelOptions(key).length > 0) return this.rare(key);
    this.key.words.fill(0);
    copyValue(this.key, key, FIELDS.in_port);
    let fields = 0;
    for (let i = 0; i < OPTIONAL.length; i++) {
      const field = OPTIONAL[i]!;
      if (fieldIsZero(key, field)) continue;
      fields += 2 ** i;
      copyValue(this.key, key, field);
    }
    return { key: this.key, mask: this.maskOf(fields) };
  }

  private maskOf(fields: number): SharedMask {
    const known = this.masks.get(fields);
    if (known) return known;
    const mask = new FlowKey();
    maskField(mask, FIELDS.in_port);
    for (const [i, field] of OPTIONAL.entries()) {
      if (Math.floor(fields / 2 ** i) % 2 === 1) maskField(mask, field);
    }
    const shared = SharedMask.of(mask);
    if (this.masks.size < MAX_MASKS) this.masks.set(fields, shared);
    return shared;
  }

  private rare(key: FlowKey): Match {
    const match = anyMatch();
    copyField(match, key, FIELDS.in_port);
    for (const field of OPTIONAL) if (!fieldIsZero(key, field)) copyField(match, key, field);
    for (const index of tunnelOptions(key)) {
      const field = this.tunnelFields.resolve(index);
      if (field) setMatchField(match, field, key.getBig(field), fullMask(field));
    }
    if (key.get(FIELDS.ct_state) !== 0) copyConnection(match, key);
    return match;
  }
}

/** What of a connection means something depends on the Ethernet type, which comes along for that. */
function copyConnection(match: Match, key: FlowKey): void {
  copyField(match, key, FIELDS.ct_state);
  copyField(match, key, FIELDS.eth_type);
  if (key.get(FIELDS.ct_nw_proto) === 0 || !prerequisiteMet("ct", key)) return;
  const ethType = key.get(FIELDS.eth_type);
  const fields = ethType === ETH_TYPE.IPV4 ? CT_IPV4 : ethType === ETH_TYPE.IPV6 ? CT_IPV6 : [];
  for (const field of fields) copyField(match, key, field);
}

function copyValue(into: FlowKey, from: FlowKey, field: Field): void {
  if (field.slotBytes <= 4) into.set(field, from.get(field));
  else into.setBig(field, from.getBig(field));
}

function copyField(match: Match, key: FlowKey, field: Field): void {
  copyValue(match.key, key, field);
  maskField(match.mask, field);
}
