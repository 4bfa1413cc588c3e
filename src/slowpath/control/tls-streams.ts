/**
 * Streams of every kind, and those over TLS. These come to be when the handshake is over and the peer has proved who it is;
 * from then on they are as any other.
 */
import { connectTls } from "../../db/tls/connect.ts";
import { listenTls } from "../../db/tls/listen.ts";
import { TlsError } from "../../db/tls/settings.ts";
import type { Tls } from "../../db/tls/tls.ts";
import {
  HANDLER,
  listenStreams,
  openStream,
  SocketStream,
  type Stream,
  type StreamEvents,
  type StreamHolder,
  type StreamListener,
} from "./streams.ts";
import type { ActiveTarget, PassiveTarget } from "./targets.ts";

const needed = (tls: Tls | undefined): Tls => {
  if (tls === undefined) throw new TlsError("this program was not set up for TLS");
  return tls;
};

/** Connects to an active target. Rejects with an Error whose message fits a log line. */
export async function openAnyStream(
  target: ActiveTarget,
  tls: Tls | undefined,
  makeEvents: (stream: Stream) => StreamEvents,
): Promise<Stream> {
  return await (target.kind === "ssl"
    ? openTlsStream(target, tls, makeEvents)
    : openStream(target, makeEvents));
}

/** As `listenStreams`, for every kind of target. */
export function listenAnyStreams(
  target: PassiveTarget,
  tls: Tls | undefined,
  accept: (stream: Stream) => StreamEvents | undefined,
): StreamListener {
  return target.kind === "pssl"
    ? listenTlsStreams(target, tls, accept)
    : listenStreams(target, accept);
}

async function openTlsStream(
  { host, port }: ActiveTarget & { kind: "ssl" },
  tls: Tls | undefined,
  makeEvents: (stream: Stream) => StreamEvents,
): Promise<Stream> {
  const data: StreamHolder = { stream: undefined };
  const { promise, resolve } = Promise.withResolvers<Stream>();
  await connectTls<StreamHolder>(needed(tls), {
    hostname: host,
    port,
    data,
    socket: {
      ...HANDLER,
      // At once, for a controller speaks first: its message may come with the end of the handshake.
      open: (socket) => {
        socket.setNoDelay(true);
        const stream = new SocketStream(`ssl:${host}:${port}`, socket);
        data.stream = stream;
        stream.events = makeEvents(stream);
        resolve(stream);
      },
    },
  });
  return await promise;
}

function listenTlsStreams(
  { host, port }: PassiveTarget & { kind: "pssl" },
  tls: Tls | undefined,
  accept: (stream: Stream) => StreamEvents | undefined,
): StreamListener {
  const listener = listenTls<StreamHolder>(needed(tls), {
    name: `pssl:${port}:${host}`,
    hostname: host,
    port,
    data: { stream: undefined },
    socket: {
      ...HANDLER,
      open: (socket) => {
        socket.setNoDelay(true);
        const peer = `ssl:${socket.remoteAddress}:${socket.remotePort}`;
        const stream = new SocketStream(peer, socket);
        socket.data = { stream };
        const events = accept(stream);
        if (events) stream.events = events;
        else socket.terminate();
      },
    },
  });
  return { port: listener.port, close: () => listener.close(true) };
}
