/** Sending the packet somewhere: ports, reserved ports, patches, controllers. */
import type { PacketInReason } from "../../openflow/actions/types.ts";
import { PORTS } from "../../openflow/version.ts";
import { inPort } from "./bits.ts";
import { formatPort } from "../../packet/text.ts";
import type { PortModel } from "./model.ts";
import { normal } from "./normal.ts";
import type { Xlate } from "./xlate.ts";

/** The `output` action: any port number, reserved ones included. */
export function output(x: Xlate, port: number, maxLength: number): void {
  switch (port) {
    case PORTS.IN_PORT:
      return outputToPort(x, inPort(x.key));
    case PORTS.TABLE:
      x.runTable(0, inPort(x.key), true, true);
      return;
    case PORTS.NORMAL:
      return normal(x);
    case PORTS.FLOOD:
      return flood(x, false);
    case PORTS.ALL:
      return flood(x, true);
    case PORTS.CONTROLLER: {
      const reason = x.inPacketOut
        ? "packet_out"
        : x.inGroup
        ? "group"
        : x.inActionSet
        ? "action_set"
        : "action";
      const rest = { controllerId: 0, userdata: undefined, meterId: undefined };
      return sendToController(x, { reason, maxLength, ...rest });
    }
    case PORTS.NONE:
      return;
    default:
      // OpenFlow 1.3.5 §5.12.1: only IN_PORT sends a packet back.
      if (port === inPort(x.key)) return x.tracer?.report("warn", "skipping output to input port");
      return outputToPort(x, port);
  }
}

/** Every port but the input; FLOOD leaves out those that are configured so. */
function flood(x: Xlate, all: boolean): void {
  const from = inPort(x.key);
  for (const { ofport, config } of x.bridge.ports.values()) {
    if (ofport !== from && (all || !config.noFlood)) outputToPort(x, ofport);
  }
}

/** One port of the bridge, whether or not the packet came from there. */
export function outputToPort(x: Xlate, ofport: number, truncate?: number): void {
  const port = x.port(ofport);
  if (!port) return x.tracer?.report("warn", "Nonexistent output port");
  if (port.config.noFwd) {
    return x.tracer?.report("detail", "OFPPC_NO_FWD set, skipping output");
  }
  if (isProtected(x, port)) {
    return x.tracer?.report("warn", "Flow is between protected ports, skipping output.");
  }
  if (port.patchPeer) return x.crossPatch(port);
  if (port.dpPort === undefined) return;
  x.commit();
  if (truncate !== undefined) x.emit({ type: "trunc", maxLength: truncate });
  x.emit({ type: "output", port: port.dpPort });
}

/** `output(port=…, max_len=…)`: for single ports of the datapath only. */
export function outputTruncated(x: Xlate, port: number, maxLength: number): void {
  const from = inPort(x.key);
  const target = port === PORTS.IN_PORT ? from : port;
  if (port === from) return x.tracer?.report("warn", "skipping output to input port");
  const out = x.port(target);
  if (out?.dpPort === undefined) {
    const name = out ? `patch port ${out.name}` : `port: ${formatPort(target)}`;
    return x.tracer?.report(out ? "error" : "warn", `output_trunc does not support ${name}`);
  }
  outputToPort(x, target, maxLength);
}

function isProtected(x: Xlate, out: PortModel): boolean {
  return out.bundle.protected && (x.port(inPort(x.key))?.bundle.protected ?? false);
}

export interface ControllerCopy {
  readonly reason: PacketInReason;
  readonly maxLength: number;
  readonly controllerId: number;
  readonly userdata: Uint8Array | undefined;
  readonly meterId: number | undefined;
}

/** A copy of the packet, as it is now, to the controllers. */
export function sendToController(x: Xlate, copy: ControllerCopy): void {
  x.commit();
  // OpenFlow 1.3.5 §5.4: what a table-miss rule sends has the reason "no match".
  const reason = copy.reason === "action" && x.rule?.isTableMiss ? "explicit_miss" : copy.reason;
  const number = x.puntNumbers.number({
    bridge: x.bridge,
    reason,
    tableId: x.table,
    cookie: x.cookie,
    maxLen: copy.maxLength,
    controllerId: copy.controllerId,
    userdata: copy.userdata && copy.userdata.length > 0 ? copy.userdata : undefined,
    meterId: copy.meterId,
    state: x.key.clone(),
  });
  x.punts.push(number);
  x.emit({ type: "userspace", userdata: number });
}
