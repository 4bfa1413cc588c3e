/**
 * The memory datapath's flow table: flows grouped by mask, each group a map from the masked key's
 * text to the flow. Made for being obviously right, not for speed.
 */
import { type FlowKey, type Match } from "../../packet/key.ts";
import { DP_KEY_BYTES } from "../../packet/layout.ts";
import type { DpFlow } from "../datapath.ts";

function textOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, DP_KEY_BYTES));
}

function maskedText(key: FlowKey, mask: FlowKey): string {
  const bytes = new Uint8Array(DP_KEY_BYTES);
  for (let i = 0; i < DP_KEY_BYTES; i++) bytes[i] = key.bytes[i]! & mask.bytes[i]!;
  return textOf(bytes);
}

interface Group {
  readonly mask: FlowKey;
  readonly flows: Map<string, DpFlow>;
}

function copyOf(match: Match): Match {
  return { key: match.key.clone(), mask: match.mask.clone() };
}

export class MemoryFlows {
  private readonly groups = new Map<string, Group>();
  private readonly byId = new Map<number, DpFlow>();

  get size(): number {
    return this.byId.size;
  }

  has(id: number): boolean {
    return this.byId.has(id);
  }

  list(): Iterable<DpFlow> {
    return this.byId.values();
  }

  lookup(key: FlowKey): DpFlow | undefined {
    for (const { mask, flows } of this.groups.values()) {
      const found = flows.get(maskedText(key, mask));
      if (found) return found;
    }
    return undefined;
  }

  put(flow: DpFlow): void {
    this.delete(flow.id);
    const kept: DpFlow = { ...flow, match: copyOf(flow.match), actions: [...flow.actions] };
    const name = textOf(kept.match.mask.bytes);
    let group = this.groups.get(name);
    if (!group) {
      group = { mask: kept.match.mask, flows: new Map() };
      this.groups.set(name, group);
    }
    group.flows.set(maskedText(kept.match.key, kept.match.mask), kept);
    this.byId.set(kept.id, kept);
  }

  delete(id: number): void {
    const old = this.byId.get(id);
    if (!old) return;
    this.byId.delete(id);
    const name = textOf(old.match.mask.bytes);
    const group = this.groups.get(name);
    if (!group) return;
    const key = maskedText(old.match.key, old.match.mask);
    if (group.flows.get(key) === old) group.flows.delete(key);
    if (group.flows.size === 0) this.groups.delete(name);
  }
}
