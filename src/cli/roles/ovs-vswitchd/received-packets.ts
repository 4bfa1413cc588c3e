/**
 * The packets that `netdev-dummy/receive` is given: hexadecimal digits, or the text of a datapath flow
 * from which a packet is composed, optionally followed by `--len BYTES`.
 */
import { parseDpFlow } from "../../../fastpath/text/flow-parse.ts";
import { composePacket } from "../../../packet/compose.ts";
import { TextError } from "../../../packet/text.ts";

const SHORTEST_LENGTH = 60;
const ETH_HEADER_BYTES = 14;
const PAYLOAD_BYTES = 64;

export class ReceivedPackets {
  readonly frames: Uint8Array[] = [];
  /** What was wrong with the first word that is neither; those before it count. */
  readonly problem: string | undefined;

  constructor(words: readonly string[]) {
    const queue = [...words];
    // There is one queue: the number is of no interest.
    if (queue[0] === "--qid" && queue.length > 2) queue.splice(0, 2);
    try {
      for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
        this.frames.push(frameOfHex(word) ?? frameOfFlow(word, lengthFrom(queue)));
      }
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      this.problem = error.message;
    }
  }
}

/** Undefined unless the text is nothing but whole bytes in hexadecimal, and enough of them. */
function frameOfHex(text: string): Uint8Array | undefined {
  const digits = text.replace(/\s+/g, "");
  if (digits.length < 2 * ETH_HEADER_BYTES || digits.length % 2 !== 0) return undefined;
  return /^[0-9a-f]+$/i.test(digits) ? Uint8Array.from(Buffer.from(digits, "hex")) : undefined;
}

/** Takes `--len BYTES` off the queue if it comes next. */
function lengthFrom(queue: string[]): number | undefined {
  if (queue[0] !== "--len" || queue.length < 2) return undefined;
  const length = Number(queue[1]);
  queue.splice(0, 2);
  if (!(length >= SHORTEST_LENGTH)) throw new TextError("too small packet len");
  return length;
}

function frameOfFlow(text: string, length: number | undefined): Uint8Array {
  const { key } = parseDpFlow(text);
  return length === undefined
    ? composePacket(key, { payloadBytes: PAYLOAD_BYTES })
    : composePacket(key, { payloadBytes: 0, size: length });
}
