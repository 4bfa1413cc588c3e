/** Changes that a switch makes all together or not at all. */
import { identify } from "../../../openflow/codec.ts";
import { decode } from "../../../openflow/codec.ts";
import type { BundleControl, OfMessage } from "../../../openflow/messages/types.ts";
import { BUNDLE_FLAGS } from "../../../openflow/messages/types.ts";
import { formatMessage } from "../../../openflow/text/message.ts";
import { OF13 } from "../../../openflow/version.ts";
import { xidOf } from "../../openflow-client.ts";
import { Fatal } from "../fatal.ts";
import { toStderr } from "../output.ts";
import type { Session, Vconn } from "./session.ts";

const FLAGS = BUNDLE_FLAGS.ATOMIC | BUNDLE_FLAGS.ORDERED;
const BUNDLE_ID = 0;

/** Opens, fills and commits a bundle. Errors are printed, and end the program. */
export async function sendBundle(
  session: Session,
  vconn: Vconn,
  target: string,
  messages: readonly OfMessage[],
): Promise<void> {
  const { client } = vconn;
  const form = client.version === OF13 ? { form: "onf" as const } : {};
  const names = await session.namesToShow(target);
  const requests = new Map<number, Uint8Array>();
  let failed = false;
  const tell = (bytes: Uint8Array): void => {
    failed = true;
    const { message } = decode(bytes, { loose: true });
    if (message.type !== "error") return;
    const { error, data } = message;
    const name = typeof error === "string" ? error : `${error.type},${error.code}`;
    const whole = requests.get(xidOf(bytes)) ?? data;
    const verbosity = session.options.verbosity + 1;
    toStderr(`Error ${name} for: ${formatMessage(whole, { verbosity, names })}`);
  };
  /** Waits for the reply to `xid`; errors about anything that was sent are told meanwhile. */
  const replyTo = async (xid: number): Promise<OfMessage> => {
    for (;;) {
      const bytes = await client.receive();
      const isError = identify(bytes).name === "error";
      if (isError) tell(bytes);
      if (xidOf(bytes) === xid) return decode(bytes, { loose: true }).message;
    }
  };
  const control = async (
    request: BundleControl["control"],
    reply: BundleControl["control"],
  ): Promise<boolean> => {
    const xid = client.send({
      type: "bundle_control",
      ...form,
      bundle: BUNDLE_ID,
      control: request,
      flags: FLAGS,
    });
    const answer = await replyTo(xid);
    return answer.type === "bundle_control" && answer.control === reply;
  };
  await session.guard(client, async () => {
    let done = await control("open_request", "open_reply");
    if (done) {
      for (const message of messages) {
        const xid = client.nextXid();
        const inner = session.encode(vconn, xid, message);
        requests.set(xid, inner);
        const add: OfMessage = {
          type: "bundle_add",
          ...form,
          bundle: BUNDLE_ID,
          flags: FLAGS,
          inner,
        };
        client.write(session.encode(vconn, xid, add));
      }
      // A message that fails is not in the bundle, which could be committed without it.
      await replyTo(client.send({ type: "barrier_request" }));
      if (failed) await control("discard_request", "discard_reply");
      else done = await control("commit_request", "commit_reply");
    }
    if (!done || failed) throw new Fatal(`talking to ${client.name} (Protocol error)`);
  });
}
