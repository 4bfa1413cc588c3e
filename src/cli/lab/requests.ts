/**
 * What the lab asks of its hosts: one request a line of JSON on the host's standard input, one answer
 * a line on its standard output, in order. Both ends are this executable, of the same version.
 */
export interface HostRequests {
  /** Switches a device on, and gives it its IPv4 address. */
  configure: {
    request: { device: string; address: string; prefixLength: number };
    answer: { mac: string };
  };
  /** Pings `count` times; `null` stands for an answer that did not come. */
  ping: {
    request: { to: string; count: number; timeoutMs: number };
    answer: { rttsMs: (number | null)[] };
  };
  /** Listens on a TCP port of the kernel's choice, and counts what arrives. */
  listen: { request: { address: string }; answer: { port: number } };
  /** Sends by TCP for some time. */
  send: {
    request: { to: string; port: number; milliseconds: number };
    answer: Record<never, never>;
  };
  /** What the listener has received, from the first byte to the last. */
  received: { request: Record<never, never>; answer: { bytes: number; milliseconds: number } };
}

export type HostMethod = keyof HostRequests;
export type HostRequest<M extends HostMethod> = HostRequests[M]["request"];
export type HostAnswer<M extends HostMethod> = HostRequests[M]["answer"];

/** The first line a host writes, once it is in its namespace. */
export interface HostGreeting {
  readonly ready: true;
  readonly pid: number;
}

export type HostReply<M extends HostMethod> = { readonly ok: HostAnswer<M> } | {
  readonly error: string;
};
