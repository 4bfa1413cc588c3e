/**
 * Ingress policing (ovs-vswitchd.conf.db(5), "Ingress Policing"): how much a port takes in. What is
 * more is dropped when it is received, and counted (`drop_rx_policed`).
 */
import type { Row } from "../../db/replica.ts";
import type { Policing } from "../../fastpath/datapath.ts";

const KILO = 1000;
const BITS = 8;
/** Open vSwitch's bursts where none is given: kbit, thousands of packets. */
const DEFAULT_BURST_KBITS = 8000;
const DEFAULT_BURST_KPKTS = 16;

type PolicingColumns = Pick<
  Row<"Interface">,
  | "ingress_policing_rate"
  | "ingress_policing_burst"
  | "ingress_policing_kpkts_rate"
  | "ingress_policing_kpkts_burst"
>;

export function polices(row: PolicingColumns | undefined): boolean {
  return row !== undefined &&
    (row.ingress_policing_rate > 0 || row.ingress_policing_kpkts_rate > 0);
}

export function policingOf(row: PolicingColumns | undefined): Policing {
  const {
    ingress_policing_rate: kbits = 0,
    ingress_policing_burst: burstKbits = 0,
    ingress_policing_kpkts_rate: kpkts = 0,
    ingress_policing_kpkts_burst: burstKpkts = 0,
  } = row ?? {};
  return {
    bytesPerSec: (kbits * KILO) / BITS,
    burstBytes: ((burstKbits || DEFAULT_BURST_KBITS) * KILO) / BITS,
    packetsPerSec: kpkts * KILO,
    burstPackets: (burstKpkts || DEFAULT_BURST_KPKTS) * KILO,
  };
}
