/**
 * Which packets that come in by a port are messages of the sessions there; all that is looked at goes
 * into the mask, so that packets of other kinds are told apart by their megaflows.
 */
import type { FlowKey } from "../../packet/key.ts";
import { slot } from "../../packet/layout.ts";
import { AT, ETH_IP, FRAG_LATER, look16, lookBytes, u16 } from "../pipeline/bits.ts";
import { BFD_PORT } from "./bfd-message.ts";
import type { BfdSettings } from "./bfd-settings.ts";
import { ccmAddress, ETH_CFM } from "./ccm.ts";
import type { CfmSettings } from "./cfm-settings.ts";

const TUN_ID = slot("tun_id").offset;
const TUN_ID_BYTES = 8;
const PROTOCOL_UDP = 17;

export function claimsBfd(settings: BfdSettings, key: FlowKey, mask: FlowKey): boolean {
  const { remoteDstMac, srcIp, checkTunnelKey } = settings;
  if (remoteDstMac) {
    lookBytes(mask, AT.ethDst, 6);
    if (!isAt(key, AT.ethDst, remoteDstMac)) return false;
  }
  if (u16(key, AT.ethType) !== ETH_IP) return false;
  mask.bytes[AT.nwProto] = 0xff;
  if (key.bytes[AT.nwProto] !== PROTOCOL_UDP || key.bytes[AT.nwFrag]! & FRAG_LATER) return false;
  look16(mask, AT.tpDst, 0xffff);
  if (u16(key, AT.tpDst) !== BFD_PORT) return false;
  if (srcIp) {
    lookBytes(mask, AT.nwDst, 4);
    if (!isAt(key, AT.nwDst, srcIp)) return false;
  }
  return !checkTunnelKey || hasNoTunnelKey(key, mask);
}

export function claimsCfm(settings: CfmSettings, key: FlowKey, mask: FlowKey): boolean {
  if (u16(key, AT.ethType) !== ETH_CFM) return false;
  lookBytes(mask, AT.ethDst, 6);
  if (!isAt(key, AT.ethDst, ccmAddress(settings.extended))) return false;
  return !settings.checkTunnelKey || hasNoTunnelKey(key, mask);
}

function hasNoTunnelKey({ bytes }: FlowKey, mask: FlowKey): boolean {
  lookBytes(mask, TUN_ID, TUN_ID_BYTES);
  for (let i = TUN_ID; i < TUN_ID + TUN_ID_BYTES; i++) if (bytes[i] !== 0) return false;
  return true;
}

function isAt({ bytes }: FlowKey, at: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) if (bytes[at + i] !== wanted[i]) return false;
  return true;
}
