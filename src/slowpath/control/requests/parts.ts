/**
 * Cuts a multipart reply into parts that fit OpenFlow's 16-bit message length (OpenFlow 1.3.5 §7.3.5:
 * an object is never split over two parts).
 */
import { OfError } from "../../../openflow/errors.ts";
import type { OfMessage } from "../../../openflow/messages/types.ts";
import type { Agent } from "../agent.ts";

/** Objects tried in one part; fewer when they turn out too long together. */
const PART_OBJECTS = 128;

/** Sends `items` as one multipart reply; `make` builds a part's message. Always sends at least one part. */
export function sendParts<T>(
  agent: Agent,
  xid: number,
  items: readonly T[],
  make: (part: readonly T[]) => OfMessage,
): void {
  let at = 0;
  let size = PART_OBJECTS;
  do {
    const part = items.slice(at, at + size);
    const more = at + part.length < items.length;
    try {
      agent.send(make(part), xid, more);
    } catch (error) {
      // One object that does not fit alone cannot be sent at all: that is the caller's error.
      if (!(error instanceof OfError) || part.length <= 1) throw error;
      size = part.length >> 1;
      continue;
    }
    at += part.length;
    size = Math.min(PART_OBJECTS, size * 2);
  } while (at < items.length);
}
