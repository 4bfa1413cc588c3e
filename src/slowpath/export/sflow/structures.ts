/**
 * sFlow version 5 structures (sflow_version_5.txt §5, "sFlow Datagram Format"; sflow_tunnels.txt,
 * sflow_openflow.txt, sflow_application.txt), as data: each has a format number and a list of fields.
 * XDR: everything is a multiple of four bytes, big endian.
 */
import { Writer } from "../../../openflow/wire.ts";

type Kind =
  | "u32"
  | "u64"
  /** 4 bytes. */
  | "ipv4"
  /** Six bytes and two of padding. */
  | "mac"
  /** A length, that many bytes, padding. */
  | "opaque"
  /** A family and an address. */
  | "address"
  /** A count and as many numbers. */
  | "list";

interface ValueOf {
  readonly u32: number;
  readonly u64: number | bigint;
  readonly ipv4: Uint8Array;
  readonly mac: Uint8Array;
  readonly opaque: Uint8Array;
  readonly address: Uint8Array;
  readonly list: readonly number[];
}

export interface Structure<F extends Readonly<Record<string, Kind>>> {
  readonly format: number;
  readonly fields: F;
}

type ValuesOf<F extends Readonly<Record<string, Kind>>> = {
  readonly [K in keyof F]: ValueOf[F[K]];
};

const structure = <const F extends Readonly<Record<string, Kind>>>(
  format: number,
  fields: F,
): Structure<F> => ({ format, fields });

export const HEADER = structure(1, {
  protocol: "u32",
  frameLength: "u32",
  stripped: "u32",
  header: "opaque",
});
export const EXTENDED_SWITCH = structure(1001, {
  srcVlan: "u32",
  srcPriority: "u32",
  dstVlan: "u32",
  dstPriority: "u32",
});
export const EXTENDED_MPLS = structure(1006, {
  nextHop: "address",
  inStack: "list",
  outStack: "list",
});
const TUNNEL = {
  length: "u32",
  protocol: "u32",
  src: "ipv4",
  dst: "ipv4",
  srcPort: "u32",
  dstPort: "u32",
  tcpFlags: "u32",
  tos: "u32",
} as const;
export const TUNNEL_EGRESS = structure(1023, TUNNEL);
export const TUNNEL_INGRESS = structure(1024, TUNNEL);
export const VNI_EGRESS = structure(1029, { vni: "u32" });
export const VNI_INGRESS = structure(1030, { vni: "u32" });

export const IF_COUNTERS = structure(1, {
  ifIndex: "u32",
  ifType: "u32",
  ifSpeed: "u64",
  ifDirection: "u32",
  ifStatus: "u32",
  ifInOctets: "u64",
  ifInUcastPkts: "u32",
  ifInMulticastPkts: "u32",
  ifInBroadcastPkts: "u32",
  ifInDiscards: "u32",
  ifInErrors: "u32",
  ifInUnknownProtos: "u32",
  ifOutOctets: "u64",
  ifOutUcastPkts: "u32",
  ifOutMulticastPkts: "u32",
  ifOutBroadcastPkts: "u32",
  ifOutDiscards: "u32",
  ifOutErrors: "u32",
  ifPromiscuousMode: "u32",
});
export const ETHERNET_COUNTERS = structure(2, {
  alignmentErrors: "u32",
  fcsErrors: "u32",
  singleCollisionFrames: "u32",
  multipleCollisionFrames: "u32",
  sqeTestErrors: "u32",
  deferredTransmissions: "u32",
  lateCollisions: "u32",
  excessiveCollisions: "u32",
  internalMacTransmitErrors: "u32",
  carrierSenseErrors: "u32",
  frameTooLongs: "u32",
  internalMacReceiveErrors: "u32",
  symbolErrors: "u32",
});
export const LACP_COUNTERS = structure(7, {
  actorSystem: "mac",
  partnerSystem: "mac",
  attachedAggregator: "u32",
  /** A byte each: the actor as configured and as it is, then the partner likewise. */
  portState: "u32",
  lacpdusRx: "u32",
  markerPdusRx: "u32",
  markerResponsePdusRx: "u32",
  unknownRx: "u32",
  illegalRx: "u32",
  lacpdusTx: "u32",
  markerPdusTx: "u32",
  markerResponsePdusTx: "u32",
});
export const OPENFLOW_PORT = structure(1004, { datapathId: "u64", portNo: "u32" });
export const PORT_NAME = structure(1005, { name: "opaque" });
export const APP_RESOURCES = structure(2203, {
  userTimeMs: "u32",
  systemTimeMs: "u32",
  memUsed: "u64",
  memMax: "u64",
  fdOpen: "u32",
  fdMax: "u32",
  connOpen: "u32",
  connMax: "u32",
});
export const OVS_DATAPATH = structure(2207, {
  hits: "u32",
  misses: "u32",
  lost: "u32",
  maskHits: "u32",
  flows: "u32",
  masks: "u32",
});

const WORD = 4;
const ADDRESS_IPV4 = 1;
const ADDRESS_IPV6 = 2;

const put: { readonly [K in Kind]: (writer: Writer, value: ValueOf[K]) => void } = {
  u32: (writer, value) => void writer.u32(Math.floor(value) >>> 0),
  u64: (writer, value) => void writer.u64(BigInt.asUintN(64, BigInt(value))),
  ipv4: (writer, value) => void writer.put(value),
  mac: (writer, value) => void writer.put(value).zeros(2),
  opaque: (writer, value) =>
    void writer.u32(value.length).put(value).zeros((WORD - (value.length % WORD)) % WORD),
  address: (writer, value) =>
    void writer.u32(value.length === WORD ? ADDRESS_IPV4 : ADDRESS_IPV6).put(value),
  list: (writer, value) => {
    writer.u32(value.length);
    for (const each of value) writer.u32(each >>> 0);
  },
};

export function putAddress(writer: Writer, address: Uint8Array): void {
  put.address(writer, address);
}

/** A structure with its format and length in front, as records have it. */
export function encodeStructure<F extends Readonly<Record<string, Kind>>>(
  { format, fields }: Structure<F>,
  values: ValuesOf<F>,
): Uint8Array {
  const body = new Writer();
  for (const [name, kind] of Object.entries(fields)) {
    const write = put[kind] as (writer: Writer, value: ValueOf[Kind]) => void;
    write(body, values[name]!);
  }
  const data = body.finish();
  return new Writer().u32(format).u32(data.length).put(data).finish();
}
