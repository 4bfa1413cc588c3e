/** Who looks on at ports that no device is: made by whoever captures there first, gone with the last. */
import { type Capture, CopiedCapture } from "../../fastpath/capture.ts";
import type { Packet } from "../../fastpath/datapath.ts";
import type { Direction, Onlooker } from "../pipeline/look-on.ts";
import type { Bridge } from "./bridge.ts";
import type { BridgePort } from "./ports.ts";

/** Several captures at one port: flows are translated for them once. */
class Onlookers implements Onlooker {
  readonly captures = new Set<CopiedCapture>();

  see(packet: Packet, direction: Direction): void {
    const now = Date.now();
    for (const capture of this.captures) capture.see(packet.data, direction, now);
  }
}

/** Throws `CaptureError` for a bad filter. */
export function lookOnAt(bridge: Bridge, port: BridgePort, filter: string): Capture {
  const capture = new CopiedCapture(filter, () => {
    all.captures.delete(capture);
    if (all.captures.size > 0 || port.onlooker !== all) return;
    port.onlooker = undefined;
    bridge.backend.changed();
  });
  const all = port.onlooker instanceof Onlookers ? port.onlooker : new Onlookers();
  all.captures.add(capture);
  if (port.onlooker !== all) {
    port.onlooker = all;
    bridge.backend.changed();
  }
  return capture;
}
