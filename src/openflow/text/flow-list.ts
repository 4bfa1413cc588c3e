/**
 * The flows of statistics replies as text, a hundred thousand of them in little time: each is printed
 * as soon as it is decoded, and what flows have in common (the fields they match, what they do) is
 * worked out once.
 */
import { FlowKey } from "../../packet/key.ts";
import type { Action } from "../actions/types.ts";
import { CodecCache } from "../codec-cache.ts";
import { type CodecOptions, decodeItems } from "../codec.ts";
import type { FlowStats } from "../messages/types.ts";
import { formatFlow } from "./flow.ts";
import type { TextNames } from "./names.ts";

export class FlowListText {
  private readonly cache = new CodecCache();
  private readonly actionTexts = new WeakMap<readonly Action[], string>();

  constructor() {
    this.cache.key = new FlowKey();
  }

  /** A line for each flow of a flow statistics reply, every one after a newline and a space. */
  format(bytes: Uint8Array, names: TextNames, options: CodecOptions): string {
    const { cache, actionTexts } = this;
    let text = "";
    for (const flow of decodeItems(bytes, { ...options, cache }) as Iterable<FlowStats>) {
      text += `\n ${formatFlow(flow, { names, actionTexts })}`;
    }
    return text;
  }
}
