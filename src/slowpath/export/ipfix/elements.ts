/**
 * Information elements (IANA "IPFIX Information Elements"; RFC 7012), by their names there. `bytes`
 * 0: of variable length (RFC 7011 §7). Those of an enterprise are VMware's, as Open vSwitch has them.
 */
export interface Element {
  readonly id: number;
  readonly bytes: number;
  readonly enterprise?: number;
}

const VMWARE = 6876;
const of = (id: number, bytes: number): Element => ({ id, bytes });
const vmware = (id: number, bytes: number): Element => ({ id, bytes, enterprise: VMWARE });

export const ELEMENTS = {
  octetDeltaCount: of(1, 8),
  packetDeltaCount: of(2, 8),
  protocolIdentifier: of(4, 1),
  ipClassOfService: of(5, 1),
  sourceTransportPort: of(7, 2),
  sourceIPv4Address: of(8, 4),
  ingressInterface: of(10, 4),
  destinationTransportPort: of(11, 2),
  destinationIPv4Address: of(12, 4),
  egressInterface: of(14, 4),
  postMCastPacketDeltaCount: of(19, 8),
  postMCastOctetDeltaCount: of(20, 8),
  minimumIpTotalLength: of(25, 8),
  maximumIpTotalLength: of(26, 8),
  sourceIPv6Address: of(27, 16),
  destinationIPv6Address: of(28, 16),
  flowLabelIPv6: of(31, 4),
  sourceMacAddress: of(56, 6),
  vlanId: of(58, 2),
  ipVersion: of(60, 1),
  flowDirection: of(61, 1),
  destinationMacAddress: of(80, 6),
  interfaceName: of(82, 0),
  interfaceDescription: of(83, 0),
  octetTotalCount: of(85, 8),
  packetTotalCount: of(86, 8),
  droppedOctetDeltaCount: of(132, 8),
  droppedPacketDeltaCount: of(133, 8),
  droppedOctetTotalCount: of(134, 8),
  droppedPacketTotalCount: of(135, 8),
  flowEndReason: of(136, 1),
  observationPointId: of(138, 4),
  exportingProcessId: of(144, 4),
  flowStartDeltaMicroseconds: of(158, 4),
  flowEndDeltaMicroseconds: of(159, 4),
  notSentPacketTotalCount: of(167, 8),
  postMCastPacketTotalCount: of(174, 8),
  postMCastOctetTotalCount: of(175, 8),
  icmpTypeIPv4: of(176, 1),
  icmpCodeIPv4: of(177, 1),
  icmpTypeIPv6: of(178, 1),
  icmpCodeIPv6: of(179, 1),
  ipTTL: of(192, 1),
  ipDiffServCodePoint: of(195, 1),
  ipPrecedence: of(196, 1),
  octetDeltaSumOfSquares: of(198, 8),
  octetTotalSumOfSquares: of(199, 8),
  tcpSynTotalCount: of(218, 8),
  tcpFinTotalCount: of(219, 8),
  tcpRstTotalCount: of(220, 8),
  tcpPshTotalCount: of(221, 8),
  tcpAckTotalCount: of(222, 8),
  tcpUrgTotalCount: of(223, 8),
  ethernetHeaderLength: of(240, 1),
  dot1qVlanId: of(243, 2),
  dot1qPriority: of(244, 1),
  ethernetType: of(256, 2),
  layer2OctetDeltaCount: of(352, 8),
  layer2OctetTotalCount: of(353, 8),
  ingressUnicastPacketTotalCount: of(354, 8),
  ingressMulticastPacketTotalCount: of(355, 8),
  ingressBroadcastPacketTotalCount: of(356, 8),
  egressUnicastPacketTotalCount: of(357, 8),
  egressBroadcastPacketTotalCount: of(358, 8),
  ingressInterfaceType: of(368, 4),
  egressInterfaceType: of(369, 4),
  tunnelType: vmware(891, 1),
  tunnelKey: vmware(892, 0),
  tunnelSourceIPv4Address: vmware(893, 4),
  tunnelDestinationIPv4Address: vmware(894, 4),
  tunnelProtocolIdentifier: vmware(895, 1),
  tunnelSourceTransportPort: vmware(896, 2),
  tunnelDestinationTransportPort: vmware(897, 2),
  virtualObsID: vmware(898, 0),
} as const satisfies Readonly<Record<string, Element>>;

export type ElementName = keyof typeof ELEMENTS;
