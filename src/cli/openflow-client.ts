/**
 * A small OpenFlow client: asks a bridge for something through its management socket
 * (`RUNDIR/BRIDGE.mgmt`), as ovs-ofctl does. OpenFlow 1.3.
 */
import { decode, encode } from "../openflow/codec.ts";
import type { FlowStats } from "../openflow/messages/types.ts";
import { MessageStream } from "../openflow/stream.ts";
import { OF13 } from "../openflow/version.ts";
import { anyMatch } from "../packet/key.ts";
import { reason } from "./exit.ts";

const ALL_TABLES = 0xff;
const ANY_PORT = 0xffff;
const ANY_GROUP = 0xffffffff;
const HELLO_XID = 1;
const REQUEST_XID = 2;

/** All flows of all tables. Rejects with what the switch answered instead, or with what failed. */
export async function dumpFlows(socketPath: string): Promise<FlowStats[]> {
  const { promise, resolve, reject } = Promise.withResolvers<FlowStats[]>();
  const flows: FlowStats[] = [];
  const stream = new MessageStream();
  const received = (bytes: Uint8Array): void => {
    const { message, xid, more } = decode(bytes, { loose: true });
    if (message.type === "error") {
      const { error } = message;
      throw new Error(typeof error === "string" ? error : `error ${error.type}, ${error.code}`);
    }
    if (message.type !== "flow_stats_reply" || xid !== REQUEST_XID) return;
    flows.push(...message.flows);
    if (!more) resolve(flows);
  };
  const connection = await Bun.connect({
    unix: socketPath,
    socket: {
      data(_connection, bytes) {
        try {
          stream.push(bytes, received);
        } catch (error) {
          reject(new Error(`OpenFlow: ${reason(error)}`));
        }
      },
      close: () => reject(new Error("the switch closed the OpenFlow connection")),
      error: (_connection, error) => reject(error),
    },
  });
  connection.write(encode(OF13, HELLO_XID, { type: "hello", versions: 1 << OF13 }));
  connection.write(encode(OF13, REQUEST_XID, {
    type: "flow_stats_request",
    table: ALL_TABLES,
    match: anyMatch(),
    outPort: ANY_PORT,
    outGroup: ANY_GROUP,
    cookie: 0n,
    cookieMask: 0n,
  }));
  try {
    return await promise;
  } finally {
    connection.end();
  }
}
