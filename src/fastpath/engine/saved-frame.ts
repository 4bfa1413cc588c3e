/** What a nested action list may change of a frame and its metadata, kept while the list runs. */
import { Frame } from "../../packet/frame.ts";
import { DP_KEY_WORDS, METADATA_WORD, slot } from "../../packet/layout.ts";

const W_IN_PORT = slot("in_port").offset >> 2;
const W_RECIRC = slot("recirc_id").offset >> 2;

export class SavedFrame {
  private readonly at = new Frame();
  private readonly metadata = new Uint32Array(DP_KEY_WORDS - METADATA_WORD);
  private recircId = 0;
  private inPort = 0;

  save(frame: Frame): void {
    const { at, metadata } = this;
    const { words } = frame.key;
    copyPlace(frame, at);
    at.keyWords = frame.keyWords;
    this.recircId = words[W_RECIRC]!;
    this.inPort = words[W_IN_PORT]!;
    for (let i = METADATA_WORD; i < frame.keyWords; i++) metadata[i - METADATA_WORD] = words[i]!;
  }

  /** The frame lies where it lay and has the metadata it had. The key's headers are not put back. */
  restore(frame: Frame): void {
    const { at, metadata } = this;
    const { words } = frame.key;
    for (let i = Math.max(METADATA_WORD, at.keyWords); i < frame.keyWords; i++) words[i] = 0;
    for (let i = METADATA_WORD; i < at.keyWords; i++) words[i] = metadata[i - METADATA_WORD]!;
    words[W_RECIRC] = this.recircId;
    words[W_IN_PORT] = this.inPort;
    // Words of headers that the list brought to light are cleared when the frame is parsed again.
    frame.keyWords = Math.max(at.keyWords, Math.min(frame.keyWords, METADATA_WORD));
    copyPlace(at, frame);
  }
}

function copyPlace(from: Frame, to: Frame): void {
  to.bytes = from.bytes;
  to.offset = from.offset;
  to.length = from.length;
  to.vnet = from.vnet;
  to.floor = from.floor;
  to.packetType = from.packetType;
  to.result = from.result;
  to.vlans = from.vlans;
  to.l25 = from.l25;
  to.l25Type = from.l25Type;
  to.l3 = from.l3;
  to.l4 = from.l4;
  to.l3End = from.l3End;
  to.l3Type = from.l3Type;
  to.l4Type = from.l4Type;
  to.ipv6Routing = from.ipv6Routing;
}
