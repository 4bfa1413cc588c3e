/**
 * One client's conversation with an OVSDB server: requests with answers, and notifications both
 * ways (JSON-RPC 1.0, RFC 7047 §4). Two things implement it: the daemon's own server, in process
 * (`ServerSession`), and a socket to any server (`connectSession`).
 */
import type { Json } from "./json.ts";

export interface OvsdbSession {
  /** Who this is, for logs and for the record of changes. */
  readonly who: string;
  /** Resolves with the result; rejects with `OvsdbError` if the server answers with an error. */
  request(method: string, params: readonly Json[]): Promise<Json>;
  notify(method: string, params: readonly Json[]): void;
  /** Called for each notification from the server, in order. */
  onNotification(listener: (method: string, params: readonly Json[]) => void): () => void;
  /** Called once when the session ends, with the reason; at once if it has ended. */
  onClose(listener: (reason: string) => void): () => void;
  close(): void;
}
