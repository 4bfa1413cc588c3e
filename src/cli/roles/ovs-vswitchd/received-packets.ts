/**
 * The packets that `netdev-dummy/receive` is given: hexadecimal digits, or the text of a datapath flow
 * from which a packet is composed, optionally followed by `--len BYTES`.
 */
const SHORTEST_LENGTH = 60;

export class ReceivedPackets {
  readonly frames: Uint8Array[] = [];
  /** What was wrong with the first word that is neither; those before it count. */
  readonly problem: string | undefined;

  constructor(words: readonly string[]) {
    const queue = [...words];
    if (queue[0] === "--qid" && queue.length > 2) queue.splice(0, 2);
    for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
      const hex = frameOfHex(word);
      if (hex) {
        this.frames.push(hex);
        continue;
      }
      let length: number | undefined;
      if (queue[0] === "--len") {
        length = Number(queue[1]);
        queue.splice(0, 2);
        if (!(length >= SHORTEST_LENGTH)) {
          this.problem = "too small packet len";
          return;
        }
      }
      this.problem = `${word}: not a packet`;
      return;
    }
  }
}

/** Undefined unless the text is nothing but an even number of hexadecimal digits and white space. */
function frameOfHex(text: string): Uint8Array | undefined {
  const digits = text.replace(/\s+/g, "");
  if (digits.length < 28 || digits.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(digits)) {
    return undefined;
  }
  return Uint8Array.from(Buffer.from(digits, "hex"));
}
