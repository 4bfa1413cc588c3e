/**
 * The datapath's workers: entry point of a Bun `Worker`, which is told its role first.
 *
 * `compile.sh` must name this file as an extra entry point of `bun build --compile`, beside main.ts
 * and from the repository's root (`./src/fastpath/userspace/worker.ts`): datapath.ts loads it by
 * that path inside an executable.
 *
 * - `forward` (loop.ts) moves packets; it never comes back to the event loop until it is closed.
 * - `setup` (setup.ts) opens and closes ports on the host, which takes long; it waits for messages.
 */
import { readlinkSync } from "node:fs";
import { CLONE_NEWNET, setns } from "../../linux/libc.ts";
import { openSendRing } from "../../linux/send-ring.ts";
import {
  NAMESPACE,
  refusal,
  type SetupRequest,
  type WorkerMessage,
  type WorkerStart,
} from "./commands.ts";
import { WorkerLoop } from "./loop.ts";
import { PortSetup } from "./setup.ts";

declare const self: Worker;

type SetupStart = WorkerStart & { readonly role: "setup" };

function post(message: WorkerMessage): void {
  self.postMessage(message);
}

/** Threads are born into their parent's namespace, which may have moved on since. */
function enter({ namespace, namespaceFd }: WorkerStart): void {
  if (readlinkSync(NAMESPACE) !== namespace) setns(namespaceFd, CLONE_NEWNET);
}

function serveSetup(start: SetupStart): void {
  enter(start);
  const { dropProgram } = start;
  const setup = new PortSetup(dropProgram, (level, text) => post({ type: "log", level, text }));
  self.onmessage = (event: MessageEvent<SetupRequest>) => {
    const request = event.data;
    const { id } = request;
    try {
      switch (request.type) {
        case "open":
          post({ type: "answer", id, ports: [setup.open(request.port)] });
          break;
        case "openSendRing":
          post({
            type: "answer",
            id,
            ports: [{ type: "ring", sendRing: openSendRing(request.ifindex) }],
          });
          break;
        case "growRing":
          post({ type: "answer", id, ports: [setup.grow(request.packet)] });
          break;
        case "release":
          setup.release(request.port, request.leave);
          post({ type: "answer", id, ports: [] });
          break;
        default: {
          const never: never = request;
          throw new Error(String(never));
        }
      }
    } catch (error) {
      post(refusal(id, error));
    }
  };
  post({ type: "ready" });
}

self.onmessage = (event: MessageEvent<WorkerStart>) => {
  const start = event.data;
  switch (start.role) {
    case "setup":
      return serveSetup(start);
    case "forward": {
      enter(start);
      const loop = new WorkerLoop(start, post);
      post({ type: "ready" });
      return loop.run();
    }
    default: {
      const never: never = start;
      throw new Error(String(never));
    }
  }
};
