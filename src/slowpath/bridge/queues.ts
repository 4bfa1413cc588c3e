/**
 * A port's queues made what its QoS row wants (ovs-vswitchd.conf.db(5), "QoS TABLE", "Queue TABLE"):
 * rates by the kernel (../qos), and the DSCP with which a queue marks what leaves through it, which
 * needs nobody's help.
 */
import type { Replica } from "../../db/replica.ts";
import { SystemError } from "../../fastpath/shaping.ts";
import { QosError, qosSettings } from "../qos/settings.ts";
import type { Bridge } from "./bridge.ts";
import type { BridgePort } from "./ports.ts";
import type { WantedPort } from "./wanted.ts";

/** The two bits of the type-of-service byte that are not DSCP. */
const ECN_BITS = 2;

/** `remark`: what could not be done for an interface. */
export function configureQueues(
  bridge: Bridge,
  { row, interfaces }: WantedPort,
  replica: Replica,
  remark: (iface: string, text: string) => void,
): void {
  const marks = new Map<number, number>();
  const qos = row?.qos === undefined ? undefined : replica.rows("QoS").get(row.qos);
  for (const [number, uuid] of qos?.queues ?? []) {
    const dscp = replica.rows("Queue").get(uuid)?.dscp;
    const priority = bridge.queuePriority(number);
    if (dscp !== undefined && priority !== undefined) marks.set(priority, dscp << ECN_BITS);
  }
  for (const { name } of interfaces) {
    const port = bridge.portByName(name);
    if (!port) continue;
    if (!isSame(port.queueDscp, marks)) {
      port.queueDscp = marks;
      bridge.backend.changed();
    }
    const problem = shape(bridge, port, replica, row?.qos);
    if (problem !== undefined) remark(name, `${name}: ${problem}`);
  }
}

/** What went wrong, if anything. */
function shape(
  { backend }: Bridge,
  { kind, qos, device, isLocal }: BridgePort,
  replica: Replica,
  uuid: string | undefined,
): string | undefined {
  const wanted = uuid !== undefined && replica.rows("QoS").get(uuid)?.type;
  if (kind !== "device" || !qos || !device || qos.types.length === 0) {
    // A dummy has nothing to hold back.
    const isDummy = kind === "device" || backend.datapath.type === "dummy";
    if (!wanted || wanted === "linux-noop" || isDummy) return undefined;
    const what = isLocal || kind === "internal" ? "an internal port" : `a ${kind} port`;
    return `QoS type "${wanted}" is not supported for ${what}: it has no effect`;
  }
  try {
    const settings = qosSettings(replica, uuid, device);
    qos.apply(settings, device);
    return settings && settings.problems.length > 0 ? settings.problems.join("; ") : undefined;
  } catch (error) {
    if (error instanceof QosError) {
      qos.apply(undefined, device);
      return error.message;
    }
    if (error instanceof SystemError) return `cannot set up its queues: ${error.message}`;
    throw error;
  }
}

function isSame(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): boolean {
  return a.size === b.size && [...a].every(([queue, dscp]) => b.get(queue) === dscp);
}
