/** A session within the process: the same methods and order of events as over a socket. */
import { OvsdbError } from "./error.ts";
import type { Json } from "./json.ts";
import type { OvsdbServer } from "./server.ts";
import type { ServerSession } from "./server-session.ts";
import type { OvsdbSession } from "./session.ts";

export class LocalSession implements OvsdbSession {
  private readonly session: ServerSession;
  private readonly listeners = new Set<(method: string, params: readonly Json[]) => void>();
  private readonly closeListeners = new Set<(reason: string) => void>();
  private closedBecause: string | undefined;
  private nextId = 0;
  private readonly unanswered = new Map<number, (error: OvsdbError) => void>();

  constructor(server: OvsdbServer, readonly who: string) {
    this.session = server.createSession({
      who,
      notify: (method, params) => {
        for (const listener of [...this.listeners]) {
          try {
            listener(method, params);
          } catch (error) {
            const { stack } = error as Error;
            server.logger.err(`${this.who}: a listener failed: ${stack ?? String(error)}`);
          }
        }
      },
      disconnect: (reason) => this.end(reason),
    });
    // It outlives additions of databases: nobody in the process reconnects.
    this.session.databaseChangeAware = true;
  }

  request(method: string, params: readonly Json[]): Promise<Json> {
    return new Promise((resolve, reject) => {
      if (this.closedBecause !== undefined) {
        reject(new OvsdbError("connection closed", this.closedBecause));
        return;
      }
      const id = this.nextId++;
      this.unanswered.set(id, reject);
      this.session.request(method, params, id, ({ result, error }) => {
        this.unanswered.delete(id);
        if (error === undefined) resolve(result);
        else reject(OvsdbError.fromJson(error));
      });
    });
  }

  notify(method: string, params: readonly Json[]): void {
    if (this.closedBecause === undefined) this.session.notification(method, params);
  }

  onNotification(listener: (method: string, params: readonly Json[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  onClose(listener: (reason: string) => void): () => void {
    if (this.closedBecause !== undefined) listener(this.closedBecause);
    else this.closeListeners.add(listener);
    return () => this.closeListeners.delete(listener);
  }

  close(): void {
    this.end("closed by its user");
  }

  private end(reason: string): void {
    if (this.closedBecause !== undefined) return;
    this.closedBecause = reason;
    this.session.close();
    this.listeners.clear();
    for (const reject of this.unanswered.values()) {
      reject(new OvsdbError("connection closed", reason));
    }
    this.unanswered.clear();
    for (const listener of this.closeListeners) listener(reason);
    this.closeListeners.clear();
  }
}
