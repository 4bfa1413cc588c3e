/**
 * Every OpenFlow message in words, for who wants to see them (`ovs-appctl vlog/set vconn:dbg`): as
 * Open vSwitch's module `vconn` logs them.
 */
import type { Logger } from "../../log/log.ts";
import { formatMessage } from "../../openflow/text/message.ts";

/** As Open vSwitch prints messages unless asked for more. */
const VERBOSITY = 1;

const wordsOf = (bytes: Uint8Array): string =>
  formatMessage(bytes, { verbosity: VERBOSITY }).trimEnd();

const hex = (version: number): string => `0x${version.toString(16).padStart(2, "0")}`;

/** What a bitmap of wire versions says. */
function versionsText(bitmap: number): string {
  const highest = 31 - Math.clz32(bitmap);
  if (bitmap === 0) return "no versions";
  if (bitmap === 1 << highest) return `version ${hex(highest)}`;
  if (bitmap === (1 << (highest + 1)) - 2) return `version ${hex(highest)} and earlier`;
  const all = Array.from({ length: 32 }, (_, i) => i).filter((i) => bitmap & (1 << i));
  return `versions ${all.map(hex).join(", ")}`;
}

export class MessageLog {
  constructor(private readonly log: Logger) {}

  received(peer: string, bytes: Uint8Array): void {
    if (this.log.enabled("dbg")) this.log.dbg(`${peer}: received: ${wordsOf(bytes)}`);
  }

  sent(peer: string, bytes: Uint8Array): void {
    if (this.log.enabled("dbg")) this.log.dbg(`${peer}: sent (Success): ${wordsOf(bytes)}`);
  }

  /** `ours` and `theirs` are bitmaps of wire versions. */
  negotiated(peer: string, version: number, ours: number, theirs: number): void {
    if (!this.log.enabled("dbg")) return;
    const sides = `we support ${versionsText(ours)}, peer supports ${versionsText(theirs)}`;
    this.log.dbg(`${peer}: negotiated OpenFlow version ${hex(version)} (${sides})`);
  }
}
