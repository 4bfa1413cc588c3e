/** The instructions that put headers around a packet and take them off, over src/packet/encap.ts. */
import {
  popEthernet,
  popMpls,
  popNsh,
  popPbb,
  pushEthernet,
  pushMpls,
  pushMplsOverEthernet,
  pushNsh,
  pushPbb,
} from "../../packet/encap.ts";
import type { Frame } from "../../packet/frame.ts";
import { TUNNEL_KINDS } from "../actions.ts";
import { pushTunnel } from "../tunnels/push.ts";
import { hashFiveTupleWithBasis } from "./flow-hash.ts";
import {
  OP_POP_ETH,
  OP_POP_MPLS,
  OP_POP_NSH,
  OP_POP_PBB,
  OP_PUSH_ETH,
  OP_PUSH_MPLS,
  OP_PUSH_NSH,
  OP_PUSH_PBB,
  OP_TNL_PUSH,
  type Program,
} from "./opcodes.ts";

/**
 * Runs the instruction at `pc`; what encap.ts calls its result. For TNL_PUSH the frame's key must be
 * up to date.
 */
export function encapsulate(
  frame: Frame,
  program: Program,
  pc: number,
  sequence: { next: number },
): number {
  const { code, bytes } = program;
  const first = code[pc + 1]!;
  switch (code[pc]) {
    case OP_PUSH_MPLS:
      return code[pc + 3] === 0
        ? pushMpls(frame, first, code[pc + 2]!)
        : pushMplsOverEthernet(frame, first, code[pc + 2]!);
    case OP_POP_MPLS:
      return popMpls(frame, first);
    case OP_PUSH_ETH:
      return pushEthernet(frame, bytes, first);
    case OP_POP_ETH:
      return popEthernet(frame);
    case OP_PUSH_NSH:
      return pushNsh(frame, bytes, first, code[pc + 2]!);
    case OP_POP_NSH:
      return popNsh(frame);
    case OP_PUSH_PBB:
      return pushPbb(frame, first, code[pc + 2]!);
    case OP_TNL_PUSH: {
      const hash = hashFiveTupleWithBasis(frame.key, 0);
      const gtpu = TUNNEL_KINDS[code[pc + 3]!] === "gtpu";
      return pushTunnel(frame, bytes, first, code[pc + 2]!, hash, gtpu, sequence);
    }
    default:
      return popPbb(frame);
  }
}

/** Words of an encapsulating instruction; 0 for anything else. */
export function encapSize(op: number): number {
  switch (op) {
    case OP_PUSH_MPLS:
    case OP_TNL_PUSH:
      return 4;
    case OP_PUSH_NSH:
    case OP_PUSH_PBB:
      return 3;
    case OP_POP_MPLS:
    case OP_PUSH_ETH:
      return 2;
    case OP_POP_ETH:
    case OP_POP_NSH:
    case OP_POP_PBB:
      return 1;
    default:
      return 0;
  }
}
