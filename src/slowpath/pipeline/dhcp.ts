/**
 * With in-band control (control/in-band.ts) the bridge's own port gets what DHCP servers answer,
 * whatever the flows do with it: it may need an address to reach the controller that makes flows.
 */
import { PORTS } from "../../openflow/version.ts";
import { AT, ETH_IP, look16, u16 } from "./bits.ts";
import { outputToPort } from "./output.ts";
import type { Xlate } from "./xlate.ts";

const UDP = 17;
const DHCP_SERVER = 67;
const DHCP_CLIENT = 68;

/** The packet has been through everything else. */
export function answerDhcp(x: Xlate): void {
  const { key, mask } = x;
  if (u16(key, AT.ethType) !== ETH_IP) return;
  mask.bytes[AT.nwProto] = 0xff;
  if (key.bytes[AT.nwProto] !== UDP) return;
  look16(mask, AT.tpSrc, 0xffff);
  if (u16(key, AT.tpSrc) !== DHCP_SERVER) return;
  look16(mask, AT.tpDst, 0xffff);
  if (u16(key, AT.tpDst) !== DHCP_CLIENT) return;
  const local = x.port(PORTS.LOCAL)?.dpPort;
  if (x.actions.some((action) => action.type === "output" && action.port === local)) return;
  x.tracer?.report("detail", "outputting DHCP packet to local port for in-band control");
  outputToPort(x, PORTS.LOCAL, {});
}
