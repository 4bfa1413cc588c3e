/** What the queues of a port's QoS row say of packets (ovs-vswitchd.conf.db(5), "Queue TABLE"). */
import type { Replica } from "../../db/replica.ts";
import type { Bridge } from "./bridge.ts";
import type { WantedPort } from "./wanted.ts";

/** The two bits of the type-of-service byte that are not DSCP. */
const ECN_BITS = 2;

/** `Queue.dscp` marks what leaves through the queue, whatever becomes of its rates. */
export function configureQueues(
  bridge: Bridge,
  { row, interfaces }: WantedPort,
  replica: Replica,
): void {
  const marks = new Map<number, number>();
  const qos = row?.qos === undefined ? undefined : replica.rows("QoS").get(row.qos);
  for (const [number, uuid] of qos?.queues ?? []) {
    const dscp = replica.rows("Queue").get(uuid)?.dscp;
    if (dscp !== undefined) marks.set(number, dscp << ECN_BITS);
  }
  for (const { name } of interfaces) {
    const port = bridge.portByName(name);
    if (!port || isSame(port.queueDscp, marks)) continue;
    port.queueDscp = marks;
    bridge.backend.changed();
  }
}

function isSame(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): boolean {
  return a.size === b.size && [...a].every(([queue, dscp]) => b.get(queue) === dscp);
}
