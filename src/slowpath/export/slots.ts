/** Slots of a key that have no field of their own, or are wanted as bytes. */
import type { FlowKey } from "../../packet/key.ts";
import { slot, type SlotName } from "../../packet/layout.ts";

export function slotBytes(key: FlowKey, name: SlotName): Uint8Array {
  const { offset, bytes } = slot(name);
  return key.bytes.slice(offset, offset + bytes);
}

/** Of at most 4 bytes. */
export function slotNumber(key: FlowKey, name: SlotName): number {
  const { offset, bytes } = slot(name);
  let value = 0;
  for (let i = 0; i < bytes; i++) value = value * 256 + key.bytes[offset + i]!;
  return value;
}
