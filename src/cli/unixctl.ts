/**
 * Asks a daemon for something through its control socket, as ovs-appctl does: one JSON-RPC request
 * (`method`, `params` of strings), one reply whose result, or whose error, is text for people.
 */

/** A reply larger than this is not one of ours. */
const LONGEST_REPLY_BYTES = 64 << 20;

/** Resolves with the text of the reply; rejects with the text of the daemon's error. */
export async function controlRequest(
  socketPath: string,
  method: string,
  params: readonly string[] = [],
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const decoder = new TextDecoder();
  let received = "";
  const socket = await Bun.connect({
    unix: socketPath,
    socket: {
      data(connection, bytes) {
        received += decoder.decode(bytes, { stream: true });
        if (received.length > LONGEST_REPLY_BYTES) {
          reject(new Error("the reply is too long"));
          connection.end();
          return;
        }
        const reply = parseWhole(received);
        if (reply === undefined) return;
        if (typeof reply.result === "string") resolve(reply.result);
        else reject(new Error(String(reply.error).trimEnd()));
        connection.end();
      },
      close: () => reject(new Error("the daemon closed the connection without a reply")),
      error: (_connection, error) => reject(error),
    },
  });
  socket.write(JSON.stringify({ method, params, id: 0 }));
  return await promise;
}

/** The reply, once all of it is there. */
function parseWhole(text: string): { result?: unknown; error?: unknown } | undefined {
  // JSON has no end mark; a reply is an object, so only a brace can be its end.
  if (!text.trimEnd().endsWith("}")) return undefined;
  try {
    return JSON.parse(text) as { result?: unknown; error?: unknown };
  } catch {
    return undefined;
  }
}
