/** What may stand at the cursor in a match or in actions, from the switch's own table of words. */
import type { VocabularyJson } from "../../../routes/vocabulary.ts";
import type { Translate } from "./translate.ts";

export interface Suggestion {
  /** What is put in the place of the word at the cursor. */
  readonly text: string;
  readonly note?: string;
}

export interface Words {
  readonly vocabulary: VocabularyJson;
  /** Names of the bridge's ports. */
  readonly ports: readonly string[];
  readonly t: Translate;
}

type Field = VocabularyJson["fields"][number];

const begins = (word: string) => (text: string): boolean => text.startsWith(word) && text !== word;

function fieldNote({ bits, maskable, needs, format }: Field, t: Translate): string {
  return [
    t("{n} bits", { n: bits }),
    format,
    ...(maskable ? [t("with any mask")] : []),
    ...(needs === null ? [] : [t("needs {what}", { what: needs })]),
  ].join(" · ");
}

/** Where the last of several parts begins; commas within parentheses part nothing. */
function lastPart(text: string): number {
  let depth = 0;
  for (let i = text.length - 1; i >= 0; i--) {
    const letter = text[i];
    if (letter === ")") depth++;
    else if (letter === "(") {
      if (depth === 0) return i + 1;
      depth--;
    } else if (letter === "," && depth === 0) return i + 1;
  }
  return 0;
}

const PORT_FIELDS = new Set(["in_port", "in_port_oxm", "actset_output"]);

export function suggestMatch(before: string, { vocabulary, ports, t }: Words) {
  let start = lastPart(before);
  const part = before.slice(start);
  start += part.length - part.trimStart().length;
  const word = part.trimStart();
  const equals = word.indexOf("=");
  if (equals >= 0) {
    const [name, value] = [word.slice(0, equals), word.slice(equals + 1)];
    const list: Suggestion[] = PORT_FIELDS.has(name)
      ? [...ports, "LOCAL"].filter(begins(value)).map((text) => ({ text, note: t("port") }))
      : valuesOf(name).filter(({ text }) => begins(value)(text));
    return { start: start + equals + 1, list };
  }
  const lower = word.toLowerCase();
  const words = vocabulary.words.filter(begins(lower))
    .map((text) => ({ text, note: t("kind of packet") }));
  const fields = vocabulary.fields.flatMap((field) =>
    [field.name, ...field.aliases].filter(begins(lower))
      .map((name) => ({ text: `${name}=`, note: fieldNote(field, t) }))
  );
  // Names that are usual in ovs-ofctl come first.
  const usual = (text: string): number =>
    /^(in_port|dl_|nw_|tp_|arp_|ip|tcp|udp|icmp|arp)/.test(text) ? 0 : 1;
  const list = [...words, ...fields].sort((a, b) => usual(a.text) - usual(b.text));
  return { start, list };
}

function valuesOf(name: string): Suggestion[] {
  switch (name) {
    case "dl_type":
    case "eth_type":
      return [
        { text: "0x0800", note: "IPv4" },
        { text: "0x0806", note: "ARP" },
        { text: "0x86dd", note: "IPv6" },
        { text: "0x8847", note: "MPLS" },
        { text: "0x88cc", note: "LLDP" },
      ];
    case "nw_proto":
      return [
        { text: "1", note: "ICMP" },
        { text: "6", note: "TCP" },
        { text: "17", note: "UDP" },
        { text: "58", note: "ICMPv6" },
      ];
    case "ct_state":
      return ["+trk", "+trk+new", "+trk+est", "-trk", "+trk+inv", "+trk+rel"]
        .map((text) => ({ text }));
    case "dl_dst":
    case "eth_dst":
      return [
        { text: "ff:ff:ff:ff:ff:ff", note: "broadcast" },
        { text: "01:00:00:00:00:00/01:00:00:00:00:00", note: "multicast" },
      ];
    default:
      return [];
  }
}

/** How an action goes on after its name. */
const SHAPES: Readonly<Record<string, readonly [text: string, note: string]>> = {
  output: ["output:", "PORT"],
  group: ["group:", "ID"],
  meter: ["meter:", "ID"],
  goto_table: ["goto_table:", "TABLE"],
  resubmit: ["resubmit(", "PORT,TABLE"],
  set_field: ["set_field:", "VALUE->FIELD"],
  load: ["load:", "VALUE->FIELD[]"],
  move: ["move:", "FIELD[]->FIELD[]"],
  mod_vlan_vid: ["mod_vlan_vid:", "VID"],
  push_vlan: ["push_vlan:0x8100", ""],
  mod_dl_src: ["mod_dl_src:", "MAC"],
  mod_dl_dst: ["mod_dl_dst:", "MAC"],
  mod_nw_src: ["mod_nw_src:", "IP"],
  mod_nw_dst: ["mod_nw_dst:", "IP"],
  mod_tp_src: ["mod_tp_src:", "PORT"],
  mod_tp_dst: ["mod_tp_dst:", "PORT"],
  set_queue: ["set_queue:", "QUEUE"],
  enqueue: ["enqueue:", "PORT:QUEUE"],
  controller: ["controller", "to the controller"],
  ct: ["ct(", "commit,zone=…,table=…"],
  learn: ["learn(", "table=…,…"],
  clone: ["clone(", "ACTIONS"],
  note: ["note:", "BYTES"],
  write_metadata: ["write_metadata:", "VALUE/MASK"],
  write_actions: ["write_actions(", "ACTIONS"],
};

const WORDS = ["NORMAL", "FLOOD", "ALL", "LOCAL", "IN_PORT", "CONTROLLER"];

export function suggestActions(before: string, { vocabulary, ports, t }: Words) {
  let start = lastPart(before);
  const part = before.slice(start);
  start += part.length - part.trimStart().length;
  const word = part.trimStart();
  const output = /^output:(.*)$/.exec(word);
  if (output) {
    const value = output[1] ?? "";
    const list = [...ports, ...WORDS].filter(begins(value))
      .map((text): Suggestion => ({ text, note: t("port") }));
    return { start: start + "output:".length, list };
  }
  const arrow = word.lastIndexOf("->");
  if (arrow >= 0) {
    const value = word.slice(arrow + 2);
    const suffix = /^(load|move)/.test(word) ? "[]" : "";
    const list = vocabulary.fields.filter(({ name, writable }) => writable && begins(value)(name))
      .map((field): Suggestion => ({ text: field.name + suffix, note: fieldNote(field, t) }));
    return { start: start + arrow + 2, list };
  }
  const lower = word.toLowerCase();
  const actions = vocabulary.actions.filter(begins(lower)).map((name): Suggestion => {
    const [text, note] = SHAPES[name] ?? [name, ""];
    return { text, note };
  });
  const words = WORDS.filter((each) => begins(lower)(each.toLowerCase()))
    .map((text): Suggestion => ({ text, note: t("port") }));
  const usual = ({ text }: Suggestion): number =>
    /^(output|drop|NORMAL|resubmit|set_field|mod_|group|ct\()/.test(text) ? 0 : 1;
  return { start, list: [...words, ...actions].sort((a, b) => usual(a) - usual(b)) };
}
