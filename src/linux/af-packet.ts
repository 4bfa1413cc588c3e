/** Numbers of packet(7) that receiving and sending sockets share (linux/if_packet.h). */
export const AF_PACKET = 17;
export const SOCK_RAW = 3;
export const SOL_SOCKET = 1;
export const SO_PRIORITY = 12;
export const SO_SNDBUFFORCE = 32;
export const SOL_PACKET = 263;
export const PACKET_VERSION = 10;
export const PACKET_VNET_HDR = 15;
export const PACKET_QDISC_BYPASS = 20;
export const TPACKET_V2 = 1;
