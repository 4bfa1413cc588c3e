/** What the switch's own protocols send: LACP, BFD, CFM. */
import type { Action } from "../../openflow/actions/types.ts";
import { FIELDS, TUN_F_OAM } from "../../packet/layout.ts";
import type { PortModel } from "../pipeline/model.ts";

/** Out of the port; `oam`: a tunnel's header is to say that the packet is about the tunnel itself. */
export function transmitActions({ ofport, tunnel }: PortModel, oam: boolean): Action[] {
  const actions: Action[] = [{ type: "output", port: ofport, maxLength: 0 }];
  if (oam && tunnel) {
    const bit = BigInt(TUN_F_OAM);
    const field = FIELDS.tun_flags;
    actions.unshift({ type: "set_field", field, value: bit, mask: bit, form: "set_field" });
  }
  return actions;
}
