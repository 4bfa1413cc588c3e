/** Bytes in hex, sixteen a line with the offset in front: the look of `hexdump -C`. */
const PER_LINE = 16;

const pair = (byte: number): string => byte.toString(16).padStart(2, "0");

/** With `ascii`, what can be printed stands behind. Each line ends in a newline. */
export function hexDump(bytes: Uint8Array, ascii: boolean): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += PER_LINE) {
    const line = Array.from(bytes.subarray(at, at + PER_LINE));
    text += `${at.toString(16).padStart(8, "0")}  `;
    const digits = line.map((byte, i) => `${pair(byte)}${i === 7 ? "-" : " "}`).join("");
    if (ascii) {
      const shown = line.map((byte) => byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".");
      text += `${digits.padEnd(3 * PER_LINE)}|${shown.join("").padEnd(PER_LINE)}|\n`;
    } else text += `${digits.replace(/ $/, "")}\n`;
  }
  return text;
}

/** The same without the text, and with the dash only between two halves. */
export const plainHexDump = (bytes: Uint8Array): string =>
  hexDump(bytes, false).replaceAll("-\n", "\n");

/** Text that is said to be printable: what is not is escaped as C does it. */
export function printable(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => {
    if (byte < 0x20 || byte > 0x7e || byte === 0x5c || byte === 0x22) {
      return `\\${byte.toString(8).padStart(3, "0")}`;
    }
    return String.fromCharCode(byte);
  }).join("");
}

/** Names of the bits that are set, in order, then the rest as one number; `0` for none. */
export function bitNames(
  bits: number,
  names: readonly (readonly [number, string])[],
  separator = " ",
): string {
  if (bits === 0) return "0";
  let rest = bits >>> 0;
  const parts: string[] = [];
  for (const [bit, name] of names) {
    if ((rest & bit) === 0) continue;
    parts.push(name);
    rest = (rest & ~bit) >>> 0;
  }
  if (rest !== 0) parts.push(`0x${rest.toString(16)}`);
  return parts.join(separator);
}
