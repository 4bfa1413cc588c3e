/** What stands at a program's places, for listings that people read. */
import { SKB } from "../../../../src/fastpath/ebpf/abi.ts";
import {
  BYTES,
  KEY,
  L3,
  L4,
  PROTOCOL,
  SHARD,
  TCP_FLAGS,
} from "../../../../src/fastpath/ebpf/action-context.ts";
import { FrameStack, LOCALS } from "../../../../src/fastpath/ebpf/frame-stack.ts";
import { type KeyLayout, PARSED } from "../../../../src/fastpath/ebpf/key-layout.ts";
import { slot } from "../../../../src/packet/layout.ts";

/** Byte offset → what is there, by the register that it counts from. */
export type Names = Readonly<Record<string, ReadonlyMap<number, string>>>;

const CB = ["port", "flow", "layers", "protocol and flags", "arguments"];
const context = new Map([
  ...Object.entries(SKB).map(([name, at]) => [at, `skb ${name}`] as const),
  ...CB.map((name, i) => [SKB.cb + 4 * i, `cb: ${name}`] as const),
]);

/** r6 is the context, r10 the end of the stack. */
export function mainNames(layout: KeyLayout): Names {
  const stack = new FrameStack(layout);
  const places = new Map<number, string>(LOCALS.map((name) => [stack.local(name), name]));
  for (const name of PARSED) {
    const { offset, bytes } = slot(name);
    for (let byte = 0; byte < bytes; byte++) {
      const place = layout.place((offset + byte) >> 2);
      if (place === undefined) continue;
      const at = place + ((offset + byte) & 3);
      const text = byte === 0 ? name : `${name} + ${byte}`;
      if (!places.has(stack.key + at)) places.set(stack.key + at, text);
    }
  }
  places.set(stack.key + layout.idAt, "mask id");
  for (let at = 0; at < layout.bytes && !stack.isWide; at += 4) {
    places.set(stack.maskedKey + at, `masked key + ${at}`);
  }
  return { r6: context, r10: places };
}

export const entryNames: Names = { r1: context };

export const actionNames: Names = {
  r6: context,
  r10: new Map([
    [BYTES, "bytes"],
    [TCP_FLAGS, "TCP flags"],
    [L3, "l3"],
    [L4, "l4"],
    [PROTOCOL, "protocol"],
    [SHARD, "shard"],
    [KEY, "key"],
  ]),
};

/** Every access to a place with a name says it at the end of its line. */
export function annotate(listing: string, names: Names): string {
  let punts = false;
  return listing.split("\n").map((line) => {
    // The end of most programs has the stack to itself.
    if (line === "punt:") punts = true;
    const [, register = "", sign, at] = /\*\(u\d+ \*\)\((r\d+) ([+-]) (\d+)\)/.exec(line) ?? [];
    const name = names[register]?.get(sign === "-" ? -Number(at) : Number(at));
    if (name === undefined || (punts && register === "r10")) return line;
    return `${line.padEnd(42)} ; ${name}`;
  }).join("\n");
}
