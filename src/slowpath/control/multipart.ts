/**
 * Requests in several parts (OpenFlow 1.3.5 §7.3.5): parts of one xid are put together, until one of
 * them says that it is the last.
 *
 * Only requests that are lists (table features, flow monitors) can go on in further parts; for any
 * other the second part with a body is an error. A request that is not complete one second after its
 * last part is given up.
 *
 * Limits: MAX_BYTES of parts a request, MAX_REQUESTS requests under way.
 */
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import type { Decoded, OfMessage } from "../../openflow/messages/types.ts";
import type { Clock } from "../clock.ts";

const MAX_BYTES = 4 * 1024 * 1024;
const MAX_REQUESTS = 16;
const TIMEOUT_MS = 1000;

interface Partial {
  message: OfMessage;
  bytes: number;
  last: Uint8Array;
  cancel: () => void;
}

export class Multipart {
  private readonly partials = new Map<number, Partial>();

  /** `failed` is told of a request that was given up, with its last part. */
  constructor(
    private readonly clock: Clock,
    private readonly failed: (part: Uint8Array, error: ErrorName) => void,
  ) {}

  /** Takes a multipart request; gives it back whole, or undefined while parts are missing. */
  add(decoded: Decoded, bytes: Uint8Array): Decoded | undefined {
    const { message, xid, more } = decoded;
    const partial = this.partials.get(xid);
    if (!partial && !more) return decoded;
    if (partial) this.forget(xid, partial);
    if (partial && partial.message.type !== message.type) {
      throw new OfError("OFPBRC_BAD_STAT", 8, "the parts are of different requests");
    }
    const length = (partial?.bytes ?? 0) + bytes.length;
    if (length > MAX_BYTES || (!partial && this.partials.size >= MAX_REQUESTS)) {
      throw new OfError("OFPBRC_MULTIPART_BUFFER_OVERFLOW", 10, "too much of a request is waiting");
    }
    const joined = partial ? join(partial.message, message) : message;
    if (!more) return { ...decoded, message: joined };
    const cancel = this.clock.after(TIMEOUT_MS, () => {
      this.partials.delete(xid);
      this.failed(bytes, "OFPBRC_MULTIPART_REQUEST_TIMEOUT");
    });
    this.partials.set(xid, { message: joined, bytes: length, last: bytes, cancel });
    return undefined;
  }

  clear(): void {
    for (const { cancel } of this.partials.values()) cancel();
    this.partials.clear();
  }

  private forget(xid: number, partial: Partial): void {
    partial.cancel();
    this.partials.delete(xid);
  }
}

function join(first: OfMessage, next: OfMessage): OfMessage {
  if (first.type === "table_features_request" && next.type === "table_features_request") {
    return { ...next, tables: [...first.tables, ...next.tables] };
  }
  if (first.type === "flow_monitor_request" && next.type === "flow_monitor_request") {
    return { ...next, monitors: [...first.monitors, ...next.monitors] };
  }
  throw new OfError("OFPBRC_BAD_STAT", 10, `a ${next.type.replaceAll("_", " ")} has one part`);
}
