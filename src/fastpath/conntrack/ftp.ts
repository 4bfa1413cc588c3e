/** What a packet of an FTP control connection announces: RFC 959 §4.1.2 and §4.2, RFC 2428. */
import type { Frame } from "../../packet/frame.ts";

/** Announcements are short; more of a packet is not looked at. */
const MAX_TEXT = 128;

export interface Announcement {
  /** Where the address stands in the frame, and as what; passive mode over EPSV has none. */
  readonly at: number;
  readonly address: string | undefined;
  /** Its bytes are separated by commas. */
  readonly comma: boolean;
  readonly port: number;
}

interface Form {
  /** From the server: an answer to PASV or EPSV. */
  readonly reply: boolean;
  /** What a message of this kind begins with, complete or not. */
  readonly begins: RegExp;
  readonly form: RegExp;
  read(groups: readonly string[]): { address?: string; comma: boolean; port: number };
}

const DOTTED = String.raw`(\d{1,3},\d{1,3},\d{1,3},\d{1,3}),(\d{1,3}),(\d{1,3})(?!\d)`;
const twoBytes = (high: string, low: string): number =>
  Number(high) > 255 || Number(low) > 255 ? 0 : Number(high) * 256 + Number(low);

const FORMS: readonly Form[] = [
  {
    reply: false,
    begins: /^PORT\b/i,
    form: new RegExp(`^PORT +${DOTTED}`, "di"),
    read: ([address, high, low]) => ({
      address: address!,
      comma: true,
      port: twoBytes(high!, low!),
    }),
  },
  {
    reply: true,
    begins: /^227\b/,
    form: new RegExp(String.raw`^227 [^\d]*${DOTTED}`, "d"),
    read: ([address, high, low]) => ({
      address: address!,
      comma: true,
      port: twoBytes(high!, low!),
    }),
  },
  {
    reply: false,
    begins: /^EPRT\b/i,
    form: /^EPRT +\|[12]\|([0-9a-f:.]+)\|(\d{1,5})\|/di,
    read: ([address, port]) => ({ address: address!, comma: false, port: Number(port) }),
  },
  {
    reply: true,
    begins: /^229\b/,
    form: /^229 [^(]*\(\D{1,3}(\d{1,5})\D?\)/d,
    read: ([port]) => ({ comma: false, port: Number(port) }),
  },
];

/** `malformed`: it sets out to announce, and cannot be understood. */
export function announcement(frame: Frame, reply: boolean): Announcement | "none" | "malformed" {
  const { bytes, offset } = frame;
  if (frame.l4 < 0) return "none";
  const from = frame.l4 + ((bytes[offset + frame.l4 + 12]! >> 4) << 2);
  const to = Math.min(frame.l3End, from + MAX_TEXT);
  if (to <= from) return "none";
  let text = "";
  for (let i = from; i < to; i++) text += String.fromCharCode(bytes[offset + i]!);
  for (const each of FORMS) {
    if (each.reply !== reply || !each.begins.test(text)) continue;
    const match = each.form.exec(text);
    if (!match) return "malformed";
    const { address, comma, port } = each.read(match.slice(1));
    if (port === 0 || port > 65535) return "malformed";
    return { at: from + match.indices![1]![0], address, comma, port };
  }
  return "none";
}
