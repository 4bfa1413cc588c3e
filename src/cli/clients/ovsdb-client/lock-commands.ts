/** `lock`, `steal`, `unlock`, which go on to print what becomes of the lock; and `wait`. */
import { OvsdbError } from "../../../db/error.ts";
import type { Json } from "../../../db/json.ts";
import type { OvsdbSession } from "../../../db/session.ts";
import { connect, ConnectionFailed, defaultRemote } from "../connect.ts";
import { Fatal } from "../fatal.ts";
import { jsonText, unsortedJsonText } from "../json-text.ts";
import { toStdout } from "../output.ts";
import {
  type ClientCommand,
  type ClientOptions,
  type Connected,
  errorJson,
  type Unconnected,
} from "./command.ts";
import { ask, checkResults } from "./requests.ts";

type LockMethod = "lock" | "steal" | "unlock";

async function lock(command: Connected, method: LockMethod): Promise<void> {
  const { session, remote, args, options } = command;
  const { pretty } = options.printer.style;
  const { promise: over, reject } = Promise.withResolvers<never>();
  // What is told together with a reply comes after it, and is told before this function goes on.
  let early: string[] | undefined = [];
  session.onNotification((name, params) => {
    const text = `${name}\n${jsonText(params, pretty)}\n`;
    if (early === undefined) toStdout(text);
    else early.push(text);
  });
  session.onClose(() => reject(new Fatal(`${remote}: receive failed (End of file)`)));
  const request = async (method: LockMethod, name: string): Promise<void> => {
    early ??= [];
    toStdout(`${jsonText(await ask(session, method, [name]), pretty)}\n`);
    const told = early ?? [];
    early = undefined;
    for (const text of told) toStdout(text);
  };
  for (const name of ["lock", "steal", "unlock"] as const) {
    options.control(name, "LOCK", 1, ([wanted = ""]) => {
      request(name, wanted).catch(reject);
      return "";
    });
  }
  await Promise.race([over, request(method, args[0] as string)]);
  options.ready();
  await Promise.race([over, options.exiting]);
}

const LONGEST_WAIT_SECONDS = 8;

const STATES = ["connected", "added", "removed"] as const;

/** A transaction that ends when the database is in this state. */
function waitOperation(database: string, state: typeof STATES[number]): Json {
  const wait = {
    op: "wait",
    table: "Database",
    where: [["name", "==", database]],
    until: "==",
  };
  switch (state) {
    case "connected":
      return { ...wait, columns: ["connected"], rows: [{ connected: true }] };
    case "added":
      return { ...wait, columns: [], rows: [{}] };
    case "removed":
      return { ...wait, columns: [], rows: [] };
    default: {
      const never: never = state;
      return never;
    }
  }
}

async function waitForState({ args, options }: Unconnected): Promise<void> {
  const [database = "", stateText = ""] = args.slice(-2);
  const state = STATES.find((name) => name === stateText);
  if (state === undefined) throw new Fatal(`${stateText}: unknown state`);
  const remote = args.length > 2 ? args[0] as string : defaultRemote(process.env);
  const operation = waitOperation(database, state);
  const reconnect = new Reconnect(remote, options);
  for (;;) {
    const session = await reconnect.connect();
    if (await waitOnce(session, remote, operation)) return;
    reconnect.lost();
  }
}

/** Tries again and again, telling how it goes, at last only every 8 s and silently. */
class Reconnect {
  private waitSeconds = 0;
  private silent = false;

  constructor(private readonly remote: string, private readonly options: ClientOptions) {}

  private tell(message: string): void {
    if (!this.silent) this.options.log.log("reconnect", "info", `${this.remote}: ${message}`);
  }

  async connect(): Promise<OvsdbSession> {
    for (;;) {
      this.tell("connecting...");
      try {
        const session = await connect(this.remote, "ovsdb-client", this.options.tls);
        this.tell("connected");
        this.waitSeconds = 0;
        return session;
      } catch (error) {
        if (!(error instanceof ConnectionFailed)) throw error;
        this.tell(`connection attempt failed (${error.why})`);
        await this.backOff();
      }
    }
  }

  lost(): void {
    this.silent = false;
    this.tell("connection closed by peer");
  }

  private async backOff(): Promise<void> {
    this.waitSeconds = Math.min(LONGEST_WAIT_SECONDS, this.waitSeconds * 2 || 1);
    if (this.waitSeconds === LONGEST_WAIT_SECONDS) {
      this.tell("continuing to reconnect in the background but suppressing further logging");
      this.silent = true;
    } else if (this.waitSeconds > 1) {
      this.tell(`waiting ${this.waitSeconds} seconds before reconnect`);
    }
    await Bun.sleep(this.waitSeconds * 1000);
  }
}

/** False if the connection was lost meanwhile. */
async function waitOnce(session: OvsdbSession, remote: string, wait: Json): Promise<boolean> {
  try {
    const aware = session.request("set_db_change_aware", [true]);
    const results = session.request("transact", ["_Server", wait]);
    results.catch(() => {}); // awaited below, unless the other one fails
    await aware.catch((error: unknown) => {
      if (!(error instanceof OvsdbError) || error.tag === "connection closed") throw error;
      const text = unsortedJsonText(errorJson(error));
      throw new Fatal(`${remote}: set_db_change_aware failed (${text})`);
    });
    checkResults(await results);
    session.close();
    return true;
  } catch (error) {
    if (error instanceof OvsdbError && error.tag === "connection closed") return false;
    throw error;
  }
}

const ofLock = { need: "connection", min: 1, max: 1, args: "[SERVER] LOCK" } as const;

export const lockCommands: readonly ClientCommand[] = [
  {
    name: "wait",
    need: "nothing",
    min: 2,
    max: 3,
    args: "[SERVER] DATABASE STATE",
    help: "wait until a database is added, connected or removed",
    run: waitForState,
  },
  {
    ...ofLock,
    name: "lock",
    help: "get a lock, or wait for it",
    run: (c: Connected) => lock(c, "lock"),
  },
  { ...ofLock, name: "steal", help: "take a lock away", run: (c: Connected) => lock(c, "steal") },
  { ...ofLock, name: "unlock", help: "give a lock up", run: (c: Connected) => lock(c, "unlock") },
];
