/** Sending the packet somewhere: ports, reserved ports, patches, tunnels. */
import { PORTS } from "../../openflow/version.ts";
import { FIELDS } from "../../packet/layout.ts";
import { formatPort } from "../../packet/text.ts";
import { AT, inPort, lookSlot, u32 } from "./bits.ts";
import { sendToController } from "./controller.ts";
import { isOwn, runTable } from "./lookup.ts";
import { mirrorEgress } from "./mirror.ts";
import type { PortModel } from "./model.ts";
import { normal } from "./normal.ts";
import { crossPatch } from "./patch.ts";
import { lookOn } from "./look-on.ts";
import { sampleEgress } from "./sampling.ts";
import type { Xlate } from "./xlate.ts";

export interface OutputOptions {
  /** Nothing comes after it, in the whole translation. */
  readonly isLast?: boolean;
  readonly truncates?: boolean;
  /** It stands in a group's bucket. */
  readonly inBucket?: boolean;
  /** The datapath hashes the packet and looks it up again, instead of sending it. */
  readonly balances?: { readonly id: number; readonly basis: number };
  /** A miss of OFPP_TABLE may ask controllers. */
  readonly mayPacketIn?: boolean;
}

const DSCP = 0xfc;

/** The `output` action: any port number, reserved ones included. */
export function output(
  x: Xlate,
  port: number,
  maxLength: number,
  options: OutputOptions = {},
): void {
  x.sampling.during(() => outputTo(x, port, maxLength, options));
}

function outputTo(x: Xlate, port: number, maxLength: number, options: OutputOptions): void {
  const { isLast = false } = options;
  switch (port) {
    case PORTS.IN_PORT:
      return outputToPort(x, inPort(x.key), options);
    case PORTS.TABLE:
      return runTable(
        x,
        {
          table: 0,
          port: inPort(x.key),
          asPipeline: true,
          mayPacketIn: options.mayPacketIn ?? isOwn(x),
          swaps: false,
        },
        false,
      );
    case PORTS.NORMAL:
      return normal(x);
    case PORTS.FLOOD:
      return flood(x, false, isLast);
    case PORTS.ALL:
      return flood(x, true, isLast);
    case PORTS.CONTROLLER: {
      const reason = x.inPacketOut
        ? "packet_out"
        : options.inBucket
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
      return outputToPort(x, port, options);
  }
}

/** Every port but the input; FLOOD leaves out those that are configured so. */
function flood(x: Xlate, all: boolean, isLast: boolean): void {
  const from = inPort(x.key);
  const ports = [...x.bridge.ports.values()].filter(({ ofport, config }) =>
    ofport !== from && (all || !config.noFlood)
  );
  for (const [i, { ofport }] of ports.entries()) {
    outputToPort(x, ofport, { isLast: isLast && i === ports.length - 1 });
  }
  x.sampling.flooded();
}

/** One port of the bridge, whether or not the packet came from there. */
export function outputToPort(x: Xlate, ofport: number, options: OutputOptions): void {
  const port = x.port(ofport);
  if (!port) return x.tracer?.report("warn", "Nonexistent output port");
  if (port.config.noFwd) {
    return x.tracer?.report("detail", "OFPPC_NO_FWD set, skipping output");
  }
  if (x.mirrorLength !== 0 && port.dpPort === undefined && !port.tunnel) {
    return x.tracer?.report("warn", "Mirror truncate to ODPP_NONE, skipping output");
  }
  if (isProtected(x, port)) {
    return x.tracer?.report("warn", "Flow is between protected ports, skipping output.");
  }
  if (u32(x.key, AT.packetType) !== 0 && !port.patchPeer && !port.tunnel) {
    return x.tracer?.report(
      "warn",
      "Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.",
    );
  }
  if (port.patchPeer) {
    if (options.truncates) x.complain("Cannot truncate output to patch port");
    return crossPatch(x, port, options.isLast ?? false);
  }
  if (port.tunnel) x.unlike();
  const tos = x.key.bytes[AT.nwTos]!;
  markQueue(x, port);
  if (port.tunnel) {
    x.effect({ type: "patch", out: port.patchStats, in: undefined });
    const { outputs } = x.sampling;
    lookOn(x, port, "out");
    port.tunnel.send(x);
    // On the way out of the tunnel's own bridge it is the same packet.
    x.sampling.outputs = outputs;
    x.sampling.wentOut(port.dpPort ?? 0, ofport);
  } else if (port.dpPort !== undefined) {
    x.commit();
    const tunnel = port.takes?.(x);
    if (tunnel !== undefined) x.emit({ type: "tnl_pop", port: tunnel });
    else if (options.balances) {
      x.emit({ type: "hash", algorithm: "l4", basis: options.balances.basis });
      x.emit({ type: "recirc", id: options.balances.id });
    } else {
      sampleEgress(x, port.dpPort);
      if (x.mirrorLength > 0 && x.mirrorLength < 0xffff) {
        x.emit({ type: "trunc", maxLength: x.mirrorLength });
      }
      x.emit({ type: "output", port: port.dpPort });
    }
    x.sampling.wentOut(port.dpPort, ofport);
  }
  mirrorEgress(x, port.bundle);
  x.key.bytes[AT.nwTos] = tos;
}

/** A queue may mark what leaves through it with a DSCP of its own. */
function markQueue(x: Xlate, { queueDscp }: PortModel): void {
  if (!queueDscp || queueDscp.size === 0) return;
  lookSlot(x.mask, "skb_priority");
  const dscp = queueDscp.get(x.key.get(FIELDS.skb_priority));
  if (dscp === undefined) return;
  x.mask.bytes[AT.nwTos]! |= DSCP;
  x.key.bytes[AT.nwTos] = (x.key.bytes[AT.nwTos]! & ~DSCP) | (dscp & DSCP);
}

/** `output(port=…, max_len=…)`: for single ports of the datapath only. */
export function outputTruncated(
  x: Xlate,
  port: number,
  maxLength: number,
  options: OutputOptions,
): void {
  switch (port) {
    case PORTS.TABLE:
    case PORTS.NORMAL:
    case PORTS.FLOOD:
    case PORTS.ALL:
    case PORTS.CONTROLLER:
    case PORTS.NONE:
      return x.tracer?.report("warn", `output_trunc does not support port: ${formatPort(port)}`);
    default:
      break;
  }
  const from = inPort(x.key);
  if (port === from) return x.tracer?.report("warn", "skipping output to input port");
  const target = x.port(port === PORTS.IN_PORT ? from : port);
  if (target?.dpPort === undefined) {
    return x.complain(`output_trunc does not support patch port ${formatPort(port)}`);
  }
  x.emit({ type: "trunc", maxLength });
  output(x, port, 0, { ...options, truncates: true });
}

function isProtected(x: Xlate, out: PortModel): boolean {
  return out.bundle.protected && (x.port(inPort(x.key))?.bundle.protected ?? false);
}
