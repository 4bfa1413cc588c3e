/**
 * Bundles of one connection (OpenFlow 1.4.1 §6.9.6, §7.3.9; ONF extension 230 for 1.3): requests that
 * are collected and then carried out together.
 *
 *     open ──add …──> [close] ──> commit: all or none, in the order of the additions
 *       └──────────────────────> discard, connection ends, 10 s of silence
 *
 * - Flow-mods, group-mods and packet-outs are one transaction of the tables: no packet sees half of
 *   it, whatever the flags ask for. A packet-out runs over the tables as they are at its place.
 * - Port-mods cannot be taken back: a bundle that asks to be atomic may not have any.
 * - When a message fails, its error comes first, with the message as it was added, then
 *   OFPBFC_MSG_FAILED for the commit. The bundle is gone either way.
 * - A message that makes no sense is refused when it is added; it is taken apart then, once.
 *
 * Limits: at most MAX_BYTES of messages wait in the bundles of a connection.
 */
import { type ErrorName, OfError } from "../../openflow/errors.ts";
import { BUNDLE_FLAGS, type BundleAdd, type OfMessage } from "../../openflow/messages/types.ts";
import type { Clock } from "../clock.ts";

const MAX_BUNDLES = 1024;
const MAX_BYTES = 256 * 1024 * 1024;
/** A bundle that nothing is said of for so long is discarded, unless told otherwise. */
export const IDLE_MS = 10_000;

/** What a bundle may hold. */
export type BundledMessage = Extract<
  OfMessage,
  { type: "flow_mod" | "group_mod" | "packet_out" | "port_mod" }
>;

export interface Bundled {
  readonly message: BundledMessage;
  /** The OFPT_BUNDLE_ADD_MESSAGE that it came in. */
  readonly outer: Uint8Array;
}

interface Bundle {
  readonly id: number;
  readonly flags: number;
  readonly messages: Bundled[];
  bytes: number;
  closed: boolean;
  usedMs: number;
  /** The message that opened it. */
  readonly opening: Uint8Array;
}

export class Bundles {
  private readonly bundles = new Map<number, Bundle>();
  private bytes = 0;
  private cancel: (() => void) | undefined;

  /**
   * `decode` takes a message of the connection apart; `expired` is told the message that opened a
   * bundle which was forgotten.
   */
  constructor(
    private readonly clock: Clock,
    private readonly decode: (bytes: Uint8Array) => OfMessage,
    private readonly expired: (opening: Uint8Array) => void,
    private readonly idleMs: () => number = () => IDLE_MS,
  ) {}

  open(id: number, flags: number, opening: Uint8Array): void {
    if (this.bundles.has(id)) {
      this.remove(id);
      throw bad("OFPBFC_BAD_ID", `bundle ${id} is already open`);
    }
    this.create(id, flags, opening);
  }

  /** `outer` is the whole OFPT_BUNDLE_ADD_MESSAGE; `check` throws if its message cannot be done. */
  add(add: BundleAdd, outer: Uint8Array, check: (message: BundledMessage) => void): void {
    const message = this.readInner(add, outer);
    const bundle = this.bundles.get(add.bundle) ?? this.create(add.bundle, add.flags, outer);
    if (bundle.closed) this.refuse(bundle, "OFPBFC_BUNDLE_CLOSED");
    if (bundle.flags !== add.flags) this.refuse(bundle, "OFPBFC_BAD_FLAGS");
    if (this.bytes + outer.length > MAX_BYTES) this.refuse(bundle, "OFPBFC_MSG_TOO_MANY");
    check(message);
    bundle.messages.push({ message, outer });
    bundle.bytes += outer.length;
    this.bytes += outer.length;
    this.touch(bundle);
  }

  close(id: number, flags: number): void {
    const bundle = this.find(id);
    if (bundle.closed) this.refuse(bundle, "OFPBFC_BUNDLE_CLOSED");
    if (bundle.flags !== flags) this.refuse(bundle, "OFPBFC_BAD_FLAGS");
    bundle.closed = true;
    this.touch(bundle);
  }

  discard(id: number): void {
    this.find(id);
    this.remove(id);
  }

  /** Takes the bundle out, to be carried out; its messages one by one. */
  take(id: number, flags: number): { readonly atomic: boolean; readonly messages: Bundled[] } {
    const bundle = this.find(id);
    this.remove(id);
    if (bundle.flags !== flags) throw bad("OFPBFC_BAD_FLAGS", "the flags are others now");
    return { atomic: (flags & BUNDLE_FLAGS.ATOMIC) !== 0, messages: bundle.messages };
  }

  /** The connection ends. */
  clear(): void {
    this.cancel?.();
    this.cancel = undefined;
    this.bundles.clear();
    this.bytes = 0;
  }

  private readInner({ inner }: BundleAdd, outer: Uint8Array): BundledMessage {
    if (inner[0] !== outer[0]) throw bad("OFPBFC_BAD_VERSION", "a message of another version");
    let message: OfMessage;
    try {
      message = this.decode(inner);
    } catch (error) {
      if (error instanceof OfError && UNKNOWN.has(error.error)) {
        throw bad("OFPBFC_MSG_UNSUP", error.message);
      }
      throw error;
    }
    if (!isBundled(message)) {
      throw bad("OFPBFC_MSG_UNSUP", `a ${message.type} cannot be in a bundle`);
    }
    return message;
  }

  private find(id: number): Bundle {
    const bundle = this.bundles.get(id);
    if (!bundle) throw bad("OFPBFC_BAD_ID", `there is no bundle ${id}`);
    return bundle;
  }

  private create(id: number, flags: number, opening: Uint8Array): Bundle {
    if (this.bundles.size >= MAX_BUNDLES) {
      throw bad("OFPBFC_OUT_OF_BUNDLES", `${MAX_BUNDLES} bundles are open`);
    }
    const usedMs = this.clock.now();
    const bundle = { id, flags, messages: [], bytes: 0, closed: false, usedMs, opening };
    this.bundles.set(id, bundle);
    this.touch(bundle);
    return bundle;
  }

  private remove(id: number): void {
    this.bytes -= this.bundles.get(id)?.bytes ?? 0;
    this.bundles.delete(id);
  }

  private refuse(bundle: Bundle, error: ErrorName): never {
    this.remove(bundle.id);
    throw bad(error, `bundle ${bundle.id} is discarded`);
  }

  private touch(bundle: Bundle): void {
    bundle.usedMs = this.clock.now();
    this.cancel ??= this.clock.after(this.idleMs(), () => this.expire());
  }

  private expire(): void {
    this.cancel = undefined;
    let oldest = Infinity;
    const idleMs = this.idleMs();
    for (const bundle of [...this.bundles.values()]) {
      if (this.clock.now() - bundle.usedMs >= idleMs) {
        this.remove(bundle.id);
        this.expired(bundle.opening);
      } else oldest = Math.min(oldest, bundle.usedMs);
    }
    if (oldest === Infinity) return;
    this.cancel = this.clock.after(oldest + idleMs - this.clock.now(), () => this.expire());
  }
}

/** Errors that say that a message is not known at all. */
const UNKNOWN: ReadonlySet<ErrorName> = new Set<ErrorName>([
  "OFPBRC_BAD_TYPE",
  "OFPBRC_BAD_STAT",
  "OFPBRC_BAD_VENDOR",
  "OFPBRC_BAD_SUBTYPE",
]);

function isBundled(message: OfMessage): message is BundledMessage {
  return message.type === "flow_mod" || message.type === "group_mod" ||
    message.type === "packet_out" || message.type === "port_mod";
}

function bad(error: ErrorName, detail: string): OfError {
  return new OfError(error, 0, detail);
}
