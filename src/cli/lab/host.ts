/**
 * A host of the lab: a process in a network namespace of its own, which does what it is asked to
 * (requests.ts) until its standard input ends. When it ends, the kernel removes the namespace, and
 * with it the host's end of the cable and the switch's.
 */
import { Pinger } from "../../linux/icmp.ts";
import { enterNewNetworkNamespace } from "../../linux/netns.ts";
import { IFF_UP, RouteSocket } from "../../linux/rtnetlink.ts";
import { addIpv4Address } from "../../linux/veth.ts";
import { EXIT, reason } from "../exit.ts";
import { splitLines } from "./lines.ts";
import type {
  HostAnswer,
  HostGreeting,
  HostMethod,
  HostRequest,
  HostRequests,
} from "./requests.ts";

type Handlers = {
  readonly [M in HostMethod]: (
    request: HostRequest<M>,
  ) => HostAnswer<M> | Promise<HostAnswer<M>>;
};

function ipv4(text: string): Uint8Array {
  const bytes = text.split(".").map(Number);
  if (bytes.length !== 4 || bytes.some((byte) => !(byte >= 0 && byte <= 255))) {
    throw new Error(`not an IPv4 address: ${text}`);
  }
  return new Uint8Array(bytes);
}

function configure(request: HostRequests["configure"]["request"]): { mac: string } {
  const route = new RouteSocket();
  try {
    const link = route.link(request.device);
    if (link === undefined) throw new Error(`there is no device ${request.device}`);
    addIpv4Address(route, link.ifindex, ipv4(request.address), request.prefixLength);
    route.setLink(link.ifindex, {}, IFF_UP, IFF_UP);
    const mac = [...(link.address ?? [])].map((byte) => byte.toString(16).padStart(2, "0"));
    return { mac: mac.join(":") };
  } finally {
    route.close();
  }
}

async function ping(request: HostRequests["ping"]["request"]): Promise<HostAnswer<"ping">> {
  const pinger = new Pinger();
  const rttsMs: (number | null)[] = [];
  try {
    for (let i = 0; i < request.count; i++) {
      if (i > 0) await Bun.sleep(200);
      rttsMs.push(pinger.ping(ipv4(request.to), request.timeoutMs) ?? null);
    }
  } finally {
    pinger.close();
  }
  return { rttsMs };
}

/** Counts what TCP connections bring. */
class Sink {
  private bytes = 0;
  private firstMs = 0;
  private lastMs = 0;

  listen(address: string): { port: number } {
    const { port } = Bun.listen({
      hostname: address,
      port: 0,
      socket: {
        data: (_socket, data) => {
          this.lastMs = performance.now();
          if (this.bytes === 0) this.firstMs = this.lastMs;
          this.bytes += data.length;
        },
      },
    });
    return { port };
  }

  received(): HostAnswer<"received"> {
    return { bytes: this.bytes, milliseconds: this.lastMs - this.firstMs };
  }
}

/** Writes as fast as the connection takes it, for as long as asked. */
async function send(request: HostRequests["send"]["request"]): Promise<HostAnswer<"send">> {
  const chunk = new Uint8Array(1 << 20);
  const endMs = performance.now() + request.milliseconds;
  const done = Promise.withResolvers<void>();
  const fill = (socket: Bun.Socket): void => {
    // A short write means that the socket's buffer is full: `drain` goes on.
    while (performance.now() < endMs) if (socket.write(chunk) < chunk.length) return;
    socket.end();
  };
  await Bun.connect({
    hostname: request.to,
    port: request.port,
    socket: {
      open: fill,
      drain: fill,
      data() {},
      close: () => done.resolve(),
      error: (_socket, error) => done.reject(error),
    },
  });
  await done.promise;
  return {};
}

/** The hidden command `lab-host`. */
export async function labHost(): Promise<number> {
  // Ctrl-C reaches the whole terminal's group: the lab decides when its hosts end.
  process.on("SIGINT", () => {});
  enterNewNetworkNamespace();
  const sink = new Sink();
  const handlers: Handlers = {
    configure,
    ping,
    listen: (request) => sink.listen(request.address),
    send,
    received: () => sink.received(),
  };
  const write = (value: unknown): void => {
    process.stdout.write(`${JSON.stringify(value)}\n`);
  };
  write({ ready: true, pid: process.pid } satisfies HostGreeting);
  for await (const line of splitLines(Bun.stdin.stream())) {
    const { method, params } = JSON.parse(line) as { method: HostMethod; params: never };
    try {
      write({ ok: await handlers[method](params) });
    } catch (error) {
      write({ error: reason(error) });
    }
  }
  // Sockets that still listen would keep the process alive.
  process.exit(EXIT.ok);
}
