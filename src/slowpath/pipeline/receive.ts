/** May a port's packets enter the pipeline? */
import { AT, lookBytes } from "./bits.ts";
import type { PortModel } from "./model.ts";
import type { Xlate } from "./xlate.ts";

/** 01:80:c2:00:00:00, where bridges send their spanning tree messages. */
const STP = [0x01, 0x80, 0xc2, 0, 0, 0];

export function mayReceive(x: Xlate, { config }: PortModel): boolean {
  if (!config.noRecv && !config.noRecvStp) return true;
  lookBytes(x.mask, AT.ethDst, 6);
  const isStp = STP.every((byte, i) => x.key.bytes[AT.ethDst + i] === byte);
  return !(isStp ? config.noRecvStp : config.noRecv);
}
