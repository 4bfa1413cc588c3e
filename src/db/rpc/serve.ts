/** One client's session on the server, over a connection, whichever side opened it. */
import type { Logger } from "../../log/log.ts";
import type { Author } from "../history/revision.ts";
import type { OvsdbServer } from "../server.ts";
import type { ServerSession } from "../server-session.ts";
import { type ByteSocket, Connection, type ConnectionLimits } from "./connection.ts";
import { isObject, type Json, stringify } from "../json.ts";
import { type Message, messageToJson } from "./message.ts";

/** What clients of a remote may do (`read_only` and `role` of a Connection row). */
export interface Access {
  readonly readOnly: boolean;
  /** The name of a role in table RBAC_Role. */
  readonly role: string | undefined;
}

export const fullAccess: Access = { readOnly: false, role: undefined };

export interface ServeOptions {
  /** Names the client in logs and in the record of changes. */
  readonly name: string;
  readonly author?: Author | undefined;
  /** The common name in the client's certificate. */
  readonly id?: string | undefined;
  readonly access?: Access;
  readonly logger: Logger;
  readonly limits: ConnectionLimits;
}

export interface Served {
  readonly connection: Connection;
  readonly session: ServerSession;
}

/** The text of a notification; of updates, which monitors share, it is made once for all of them. */
function notificationText(server: OvsdbServer, method: string, params: readonly Json[]): string {
  const make = (): string => stringify(messageToJson({ kind: "notification", method, params }));
  const updates = params.at(-1);
  if (!method.startsWith("update") || !isObject(updates)) return make();
  const texts = server.updateTexts.get(updates) ?? new Map<string, string>();
  const key = `${method} ${stringify(params[0] as Json)}`;
  const text = texts.get(key) ?? make();
  server.updateTexts.set(updates, texts.set(key, text));
  return text;
}

/** Starts the session; `closed` is called once, when it is over. */
export function serve(
  server: OvsdbServer,
  socket: ByteSocket,
  { name, author, id, access = fullAccess, logger, limits }: ServeOptions,
  closed: (reason: string) => void,
): Served {
  const session: ServerSession = server.createSession({
    who: name,
    author,
    readOnly: access.readOnly,
    role: access.role === undefined ? undefined : { name: access.role, id },
    notify: (method, params) => connection.sendText(notificationText(server, method, params), true),
    disconnect: (reason) => {
      logger.info(`${name}: disconnecting (${reason})`);
      connection.close(reason);
    },
  });
  const message = (message: Message): void => {
    switch (message.kind) {
      case "request": {
        const { id } = message;
        session.request(message.method, message.params, id, ({ result, error }) => {
          connection.send(
            error === undefined ? { kind: "reply", result, id } : { kind: "error", error, id },
          );
        });
        return;
      }
      case "notification":
        session.notification(message.method, message.params);
        return;
      case "reply":
      case "error":
        // The only request that the server makes is its probe.
        if (message.id === "echo") return;
        logger.warn(`${name}: received unexpected ${message.kind} message`);
        connection.close(`unexpected ${message.kind} message`);
        return;
      default: {
        const never: never = message;
        return never;
      }
    }
  };
  const over = (reason: string): void => {
    session.close();
    logger.dbg(`${name}: ${reason}`);
    closed(reason);
  };
  const connection = new Connection(name, socket, { message, closed: over }, logger, limits);
  return { connection, session };
}
