/**
 * Asks a daemon for something through its control socket, as ovs-appctl does: one JSON-RPC request
 * (`method`, `params` of strings), one reply whose result, or whose error, is text for people.
 */
import { createConnection } from "node:net";

/** A reply larger than this is not one of ours. */
const LONGEST_REPLY_BYTES = 64 << 20;

/** What the daemon said: a command's text, or that of its error. */
export type ControlReply = { readonly result: string } | { readonly error: string };

/**
 * Resolves with the daemon's answer. Rejects with a system error if the socket cannot be reached, or
 * with another when the other end says nothing that is a reply.
 */
export async function controlTransaction(
  socketPath: string,
  method: string,
  params: readonly string[],
): Promise<ControlReply> {
  const { promise, resolve, reject } = Promise.withResolvers<ControlReply>();
  const decoder = new TextDecoder();
  let received = "";
  const socket = createConnection({ path: socketPath });
  socket.on("data", (bytes: Uint8Array) => {
    received += decoder.decode(bytes, { stream: true });
    if (received.length > LONGEST_REPLY_BYTES) return reject(new Error("the reply is too long"));
    const reply = parseWhole(received);
    if (reply === undefined) return;
    if (typeof reply.result === "string") resolve({ result: reply.result });
    else resolve({ error: textOf(reply.error) });
  });
  socket.on("close", () => {
    reject(new Error("the daemon closed the connection without a reply"));
  });
  socket.on("error", reject);
  socket.write(JSON.stringify({ method, params, id: 0 }));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

/** Resolves with the text of the reply; rejects with the text of the daemon's error. */
export async function controlRequest(
  socketPath: string,
  method: string,
  params: readonly string[] = [],
): Promise<string> {
  const reply = await controlTransaction(socketPath, method, params);
  if ("result" in reply) return reply.result;
  throw new Error(reply.error.trimEnd());
}

const textOf = (error: unknown): string =>
  typeof error === "string" ? error : JSON.stringify(error) ?? "";

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
