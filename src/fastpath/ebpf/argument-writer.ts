/** The arguments of a plan while it is made: values one behind the other, on boundaries of 4 bytes. */
import { ARGUMENT_BYTES } from "./abi.ts";

export class ArgumentWriter {
  private readonly bytes: number[] = [];

  /** More than a slot of arguments takes. */
  get isTooLong(): boolean {
    return this.bytes.length > ARGUMENT_BYTES;
  }

  /** Pads to 4 bytes; where it begins. */
  add(data: Uint8Array): number {
    const at = this.bytes.length;
    this.bytes.push(...data);
    while (this.bytes.length % 4 !== 0) this.bytes.push(0);
    return at;
  }

  words(...values: number[]): number {
    return this.add(new Uint8Array(new Uint32Array(values).buffer));
  }

  /** A number in network order. */
  big(value: number): number {
    return this.add(Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
  }

  finish(): Uint8Array {
    const whole = new Uint8Array(ARGUMENT_BYTES);
    whole.set(this.bytes);
    return whole;
  }
}
