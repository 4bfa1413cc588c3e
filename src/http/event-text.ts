/** Server-sent events as bytes (HTML Standard §9.2.6). */

export interface StreamEvent {
  readonly event: string;
  readonly id?: string;
  readonly data: unknown;
}

const encoder = new TextEncoder();

export function encodeEvent({ event, id, data }: StreamEvent): Uint8Array {
  const head = id === undefined ? "" : `id: ${id}\n`;
  return encoder.encode(`${head}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** Nothing but a sign of life. */
export const encodeComment = (text: string): Uint8Array => encoder.encode(`:${text}\n\n`);
