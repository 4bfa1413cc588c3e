/** Counter samples of sFlow: of a port, and of the datapath with the process that serves it. */
import type { BridgePort, PortCounts } from "../../bridge/ports.ts";
import { LACP_STATE } from "../../bonds/lacp-pdu.ts";
import type { ExportSource } from "../ports.ts";
import {
  APP_RESOURCES,
  encodeStructure,
  ETHERNET_COUNTERS,
  IF_COUNTERS,
  LACP_COUNTERS,
  OPENFLOW_PORT,
  OVS_DATAPATH,
  PORT_NAME,
} from "./structures.ts";

/** What the datapath as a whole counts. */
export interface DatapathCounts {
  readonly hits: number;
  readonly misses: number;
  readonly lost: number;
  readonly maskHits: number;
  readonly flows: number;
  readonly masks: number;
}

/** sFlow 5: a counter that nobody keeps. */
const UNKNOWN = 0xffffffff;
const ETHERNET_CSMACD = 6;
const DEFAULT_BPS = 100e6;

/** Open vSwitch's order: each was put in front of those before. */
export function portRecords(
  source: ExportSource,
  port: BridgePort,
  ifindex: number,
): Uint8Array[] {
  const counts = source.portStats(port) ?? {};
  const { device } = port;
  return [
    ethernetCounters(counts),
    encodeStructure(OPENFLOW_PORT, { datapathId: source.datapathId, portNo: port.ofport }),
    encodeStructure(PORT_NAME, { name: new TextEncoder().encode(port.name) }),
    ...lacpCounters(port),
    encodeStructure(IF_COUNTERS, {
      ifIndex: ifindex,
      ifType: ETHERNET_CSMACD,
      ifSpeed: device?.linkSpeedBps ?? DEFAULT_BPS,
      ifDirection: device?.linkSpeedBps === undefined ? 0 : device.fullDuplex === false ? 2 : 1,
      ifStatus: port.adminUp ? (port.linkUp ? 3 : 1) : 0,
      ...ifCounters(counts),
      ifPromiscuousMode: 0,
    }),
  ];
}

export function datapathRecords(counts: DatapathCounts): Uint8Array[] {
  const { user, system } = process.cpuUsage();
  return [
    encodeStructure(APP_RESOURCES, {
      userTimeMs: user / 1000,
      systemTimeMs: system / 1000,
      memUsed: process.memoryUsage.rss(),
      memMax: 0,
      fdOpen: 0,
      fdMax: 0,
      connOpen: 0,
      connMax: 0,
    }),
    encodeStructure(OVS_DATAPATH, { ...counts }),
  ];
}

/** IEEE 802.1AX's counters of a port whose bond speaks LACP. */
function lacpCounters(port: BridgePort): Uint8Array[] {
  const protocol = port.bundle.lacp?.protocol;
  const member = protocol?.members.get(port);
  if (!protocol || !member) return [];
  const actor = protocol.actorOf(member);
  const configured = LACP_STATE.AGGREGATION |
    (protocol.active ? LACP_STATE.ACTIVITY : 0) | (protocol.fast ? LACP_STATE.TIMEOUT : 0);
  return [
    encodeStructure(LACP_COUNTERS, {
      actorSystem: actor.systemId,
      partnerSystem: member.partner.systemId,
      attachedAggregator: protocol.key ?? 0,
      // What the partner was set to is not known.
      portState: (configured << 24) | (actor.state << 16) | member.partner.state,
      lacpdusRx: member.counters.rxPdus,
      markerPdusRx: UNKNOWN,
      markerResponsePdusRx: UNKNOWN,
      unknownRx: UNKNOWN,
      illegalRx: member.counters.badPdus,
      lacpdusTx: member.counters.txPdus,
      markerPdusTx: UNKNOWN,
      markerResponsePdusTx: UNKNOWN,
    }),
  ];
}

const orUnknown = (count: number | undefined): number =>
  count === undefined ? UNKNOWN : count % 2 ** 32;

function ifCounters(counts: PortCounts) {
  const { rxBytes, rxPackets, rxMulticast, rxDropped, rxErrors } = counts;
  const { txBytes, txPackets, txDropped, txErrors } = counts;
  return {
    ifInOctets: rxBytes ?? 2n ** 64n - 1n,
    ifInUcastPkts: orUnknown(rxPackets),
    ifInMulticastPkts: orUnknown(rxMulticast),
    ifInBroadcastPkts: UNKNOWN,
    ifInDiscards: orUnknown(rxDropped),
    ifInErrors: orUnknown(rxErrors),
    ifInUnknownProtos: UNKNOWN,
    ifOutOctets: txBytes ?? 2n ** 64n - 1n,
    ifOutUcastPkts: orUnknown(txPackets),
    ifOutMulticastPkts: UNKNOWN,
    ifOutBroadcastPkts: UNKNOWN,
    ifOutDiscards: orUnknown(txDropped),
    ifOutErrors: orUnknown(txErrors),
  };
}

function ethernetCounters({ rxFrameErrors, rxCrcErrors }: PortCounts): Uint8Array {
  return encodeStructure(ETHERNET_COUNTERS, {
    alignmentErrors: orUnknown(rxFrameErrors),
    fcsErrors: orUnknown(rxCrcErrors),
    singleCollisionFrames: UNKNOWN,
    multipleCollisionFrames: UNKNOWN,
    sqeTestErrors: UNKNOWN,
    deferredTransmissions: UNKNOWN,
    lateCollisions: UNKNOWN,
    excessiveCollisions: UNKNOWN,
    internalMacTransmitErrors: UNKNOWN,
    carrierSenseErrors: UNKNOWN,
    frameTooLongs: UNKNOWN,
    internalMacReceiveErrors: UNKNOWN,
    symbolErrors: UNKNOWN,
  });
}
