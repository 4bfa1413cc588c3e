/** Connection methods as Open vSwitch writes them (ovsdb(7), "Connection Methods"). */
import { resolve } from "node:path";
import { OvsdbError } from "../error.ts";

export type Remote =
  | { readonly kind: "unix"; readonly passive: boolean; readonly path: string }
  | {
    readonly kind: "tcp" | "ssl";
    readonly passive: boolean;
    readonly host: string;
    readonly port: number;
  };

const DEFAULT_PORT = 6640;

/**
 * `punix:FILE`, `unix:FILE`, `ptcp:[PORT][:HOST]`, `tcp:HOST[:PORT]`; `[…]` around IPv6; `pssl:` and
 * `ssl:` as their namesakes. Names of sockets that are not absolute are in `socketDirectory`.
 */
export function parseRemote(text: string, socketDirectory = ""): Remote {
  const [, scheme = "", rest = ""] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  switch (scheme) {
    case "unix":
    case "punix": {
      if (rest === "") throw badRemote(text, "a file name must follow");
      const path = socketDirectory === "" ? rest : resolve(socketDirectory, rest);
      return { kind: "unix", passive: scheme === "punix", path };
    }
    case "ptcp":
    case "pssl": {
      const [, port = "", host = ""] = /^(\d*)(?::(.*))?$/.exec(rest) ?? badRemote(text, portForm);
      return {
        kind: scheme === "ptcp" ? "tcp" : "ssl",
        passive: true,
        host: unbracket(host) || "0.0.0.0",
        port: parsePort(text, port),
      };
    }
    case "tcp":
    case "ssl": {
      const [, bracketed, plain = "", port = ""] =
        /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(rest) ??
          badRemote(text, "HOST[:PORT] must follow");
      return {
        kind: scheme,
        passive: false,
        host: bracketed ?? plain,
        port: parsePort(text, port),
      };
    }
    default:
      throw badRemote(text, "unix:, punix:, tcp:, ptcp:, ssl: or pssl: expected");
  }
}

const portForm = "[PORT][:HOST] must follow";

function badRemote(text: string, problem: string): never {
  throw new OvsdbError("bad remote", `${text}: ${problem}`);
}

const unbracket = (host: string): string => host.replace(/^\[(.*)\]$/, "$1");

function parsePort(text: string, port: string): number {
  const number = port === "" ? DEFAULT_PORT : Number(port);
  if (number > 65535) badRemote(text, `${port} is not a port`);
  return number;
}
