/**
 * Looking on at a port that no device is, a patch or a tunnel: copies of what goes through it reach an
 * onlooker by a `userspace` action. Flows that go through it are translated again when somebody begins
 * to look on and when nobody does any more; meanwhile each of their packets costs an upcall.
 */
import type { Packet } from "../../fastpath/datapath.ts";
import type { PortModel } from "./model.ts";
import type { Xlate } from "./xlate.ts";

export type Direction = "in" | "out";

/** Whoever looks on at a port. Identity is the object. */
export interface Onlooker {
  /** `in`: the switch received it by the port. A tunnel's packets come without its headers. */
  see(packet: Packet, direction: Direction): void;
}

/** What a punted copy is of. */
export interface Seen {
  readonly port: PortModel;
  readonly direction: Direction;
}

/** The packet goes through the port now, as it is. */
export function lookOn(x: Xlate, port: PortModel, direction: Direction): void {
  if (!port.onlooker) return;
  x.commit();
  const userdata = x.puntNumbers.number({ bridge: x.bridge, seen: { port, direction } });
  x.punts.push(userdata);
  x.emit({ type: "userspace", userdata });
}
