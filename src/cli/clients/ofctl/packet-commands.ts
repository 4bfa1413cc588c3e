/** Commands about packets and packet captures: what they are, and what OpenFlow is in them. */
import { readFileSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { plainHexDump } from "../../../openflow/text/hex-dump.ts";
import { parseMatch } from "../../../openflow/text/match-parse.ts";
import { parseHexBytes } from "../../../openflow/text/scan.ts";
import { composePacket } from "../../../packet/compose.ts";
import { formatMessage } from "../../../openflow/text/message.ts";
import { formatPacket } from "../../../openflow/text/packet.ts";
import { extract } from "../../../packet/extract.ts";
import { Frame } from "../../../packet/frame.ts";
import { FIELDS } from "../../../packet/layout.ts";
import { formatIpv4 } from "../../../packet/address.ts";
import { errnoOf, errnoText, Fatal } from "../fatal.ts";
import { toStderr } from "../output.ts";
import { command, MANY } from "./command.ts";
import { PROGRAM } from "./options.ts";
import { type CapturedPacket, PcapError, readPcap, writePcap } from "../../../packet/pcap.ts";
import type { Session } from "./session.ts";

const OPENFLOW_PORTS = [6653, 6633];
const [IPV4, TCP] = [0x0800, 6];
const EPROTO = 71;

function parsePacket(session: Session): Promise<void> {
  session.print(formatPacket(new Uint8Array(readFileSync(0))));
  return Promise.resolve();
}

function parsePcap(session: Session, paths: readonly string[]): Promise<number> {
  let code = 0;
  for (const path of paths) {
    try {
      for (const { bytes } of readPcap(new Uint8Array(readFileSync(path)))) {
        session.print(formatPacket(bytes));
      }
    } catch (error) {
      const wrong = error instanceof PcapError;
      const errno = errnoOf(error);
      if (!wrong && errno === undefined) throw error;
      code = wrong ? EPROTO : 2;
      const why = wrong ? errnoText("EPROTO") : errnoText(errno!);
      toStderr(`${PROGRAM}: ${path}: ${wrong ? "read" : "open"} failed (${why})\n`);
    }
  }
  return Promise.resolve(code);
}

/** The bytes of one direction of a TCP connection, in order, as far as they are there. */
class TcpStream {
  private next: number | undefined;
  private held = new Uint8Array(0);
  private readonly early = new Map<number, Uint8Array>();

  /** Takes a segment; calls `message` for each OpenFlow message that is whole. */
  add(
    sequence: number,
    syn: boolean,
    data: Uint8Array,
    message: (bytes: Uint8Array) => void,
  ): void {
    if (syn) this.next = (sequence + 1) >>> 0;
    if (data.length === 0) return;
    this.next ??= sequence;
    this.early.set(sequence, data);
    for (;;) {
      const segment = this.early.get(this.next);
      if (segment === undefined) break;
      this.early.delete(this.next);
      this.next = (this.next + segment.length) >>> 0;
      const joined = new Uint8Array(this.held.length + segment.length);
      joined.set(this.held);
      joined.set(segment, this.held.length);
      this.held = joined;
    }
    while (this.held.length >= 8) {
      const length = (this.held[2]! << 8) | this.held[3]!;
      if (length < 8 || this.held.length < length) return;
      message(this.held.slice(0, length));
      this.held = this.held.slice(length);
    }
  }
}

function openFlowOf(
  { bytes, milliseconds }: CapturedPacket,
  ports: readonly number[],
  streams: Map<string, TcpStream>,
  tell: (head: string, milliseconds: number, message: Uint8Array) => void,
): void {
  const frame = new Frame();
  frame.set(bytes, 0, bytes.length, false, 0);
  extract(frame, 0, 0, 0);
  const { key, l4 } = frame;
  const source = key.get(FIELDS.tcp_src);
  const destination = key.get(FIELDS.tcp_dst);
  const isTcp = key.get(FIELDS.eth_type) === IPV4 && key.get(FIELDS.nw_proto) === TCP && l4 >= 0;
  if (!isTcp || !(ports.includes(source) || ports.includes(destination))) return;
  const address = (field: "ip_src" | "ip_dst"): string =>
    formatIpv4(key.bytes, FIELDS[field].offset);
  const head = `${address("ip_src")}.${source} > ${address("ip_dst")}.${destination}:\n`;
  const stream = streams.get(head) ?? new TcpStream();
  streams.set(head, stream);
  const sequence = new DataView(bytes.buffer, bytes.byteOffset).getUint32(l4 + 4);
  const headerBytes = (bytes[l4 + 12]! >> 4) * 4;
  const syn = (bytes[l4 + 13]! & 2) !== 0;
  const data = bytes.subarray(l4 + headerBytes, frame.l3End);
  stream.add(sequence, syn, data, (message) => tell(head, milliseconds, message));
}

function ofpParsePcap(session: Session, [path = "", ...portTexts]: readonly string[]) {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(readFileSync(path));
  } catch (error) {
    throw new Fatal(`${path}: open failed (${errnoText(errnoOf(error) ?? "EIO")})`);
  }
  const ports = portTexts.length > 0
    ? portTexts.map((text) => parseInt(text, 10) || 0)
    : OPENFLOW_PORTS;
  const streams = new Map<string, TcpStream>();
  let first = true;
  try {
    for (const packet of readPcap(bytes)) {
      openFlowOf(packet, ports, streams, (head, milliseconds, message) => {
        const time = new Date(milliseconds).toISOString().slice(11, 23);
        const verbosity = session.options.verbosity + 1;
        session.print(
          (first ? "" : "\n") + (session.options.timestamp ? `${time} ` : "") + head +
            formatMessage(message, { verbosity }),
        );
        first = false;
      });
    }
  } catch (error) {
    if (!(error instanceof PcapError)) throw error;
    throw new Fatal(`${path}: open failed (${errnoText("EPROTO")})`);
  }
  return Promise.resolve();
}

const PAYLOAD_BYTES = 64;

/** A frame of a flow's fields; shown in hex, or as a packet capture. */
async function composeFrame(session: Session, [flow = "", payloadText]: readonly string[]) {
  if (session.options.pcap && isatty(1)) {
    throw new Fatal(
      "not writing pcap data to stdout; redirect to a file or pipe to tcpdump instead",
    );
  }
  const match = await session.parse("", (names) => parseMatch(flow, names), true);
  const payload = payloadText === undefined ? undefined : parseHexBytes(payloadText);
  if (payloadText !== undefined && !payload) {
    throw new Fatal(`${payloadText}: trailing garbage in packet data`);
  }
  const frame = composePacket(
    match.key,
    payload ? { payload } : { payloadBytes: PAYLOAD_BYTES },
  );
  if (session.options.pcap) writeSync(1, writePcap(frame));
  else session.print(plainHexDump(frame));
}

export const packetCommands = [
  command("compose-packet", undefined, [1, 2], "ro", composeFrame),
  command("ofp-parse-pcap", "pcap", [1, MANY], "rw", ofpParsePcap),
  command("parse-pcap", undefined, [1, MANY], "rw", parsePcap),
  command("parse-packet", undefined, [0, 0], "ro", parsePacket),
];
