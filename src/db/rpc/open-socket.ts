/** The socket under an active remote of any kind. */
import type { Socket, SocketHandler } from "bun";
import { connectTls } from "../tls/connect.ts";
import { TlsError } from "../tls/settings.ts";
import type { Tls } from "../tls/tls.ts";
import type { Remote } from "./remote.ts";

/** Resolves after `open` was called; with TLS that is once the server proved who it is. */
export async function openSocket(
  address: Remote,
  socket: SocketHandler<undefined>,
  tls: Tls | undefined,
): Promise<Socket<undefined>> {
  switch (address.kind) {
    case "unix":
      return await Bun.connect<undefined>({ unix: address.path, socket });
    case "tcp":
      return await Bun.connect<undefined>({ hostname: address.host, port: address.port, socket });
    case "ssl": {
      if (tls === undefined) throw new TlsError("this program was not set up for TLS");
      const { host: hostname, port } = address;
      return await connectTls(tls, { hostname, port, data: undefined, socket });
    }
    default: {
      const never: never = address;
      return never;
    }
  }
}
