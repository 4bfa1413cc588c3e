/** Records of extensions without a place among the standard's messages: tunnel options, conntrack, IPFIX. */

/** A tunnel option (Geneve class, type, length) and the `tun_metadata` field that stands for it. */
export interface TlvMapping {
  readonly optionClass: number;
  readonly optionType: number;
  /** Bytes of the option's value: a multiple of 4, at most 124. */
  readonly optionLength: number;
  /** N of `tun_metadataN`. */
  readonly index: number;
}

/** NXT_TLV_TABLE_MOD: all or nothing. */
export interface TlvTableMod {
  readonly type: "tlv_table_mod";
  readonly command: "add" | "delete" | "clear";
  readonly mappings: readonly TlvMapping[];
}

export interface TlvTableReply {
  readonly type: "tlv_table_reply";
  /** Bytes for all options together. */
  readonly maxSpace: number;
  readonly maxFields: number;
  readonly mappings: readonly TlvMapping[];
}

/** NXT_CT_FLUSH_ZONE. */
export interface CtFlushZone {
  readonly type: "ct_flush_zone";
  readonly zone: number;
}

/** One direction of a connection; what is absent is not asked for. */
export interface CtTuple {
  /** 128 bits; IPv4 addresses mapped (`::ffff:a.b.c.d`). */
  readonly source?: bigint;
  readonly destination?: bigint;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpId?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
}

/** NXT_CT_FLUSH: which connections to forget. */
export interface CtFlush {
  readonly type: "ct_flush";
  /** 0: any. */
  readonly protocol: number;
  /** Undefined: every zone. */
  readonly zone?: number;
  readonly original: CtTuple;
  readonly reply: CtTuple;
}

/** Counters of one IPFIX exporter: of a bridge, or of a collector set for flows. */
export interface IpfixStats {
  readonly totalFlows: bigint;
  readonly currentFlows: bigint;
  readonly packets: bigint;
  readonly ipv4Packets: bigint;
  readonly ipv6Packets: bigint;
  readonly errorPackets: bigint;
  readonly ipv4ErrorPackets: bigint;
  readonly ipv6ErrorPackets: bigint;
  readonly sentPackets: bigint;
  readonly sendErrors: bigint;
  readonly collectorSet: number;
}

/** The bridge's reply has exactly one entry. */
export interface IpfixReply {
  readonly type: "ipfix_bridge_reply" | "ipfix_flow_reply";
  readonly stats: readonly IpfixStats[];
}
