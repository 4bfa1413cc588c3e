/**
 * Connection targets as the database and the command line write them:
 *
 *     tcp:HOST[:PORT]     ptcp:[PORT][:HOST]     unix:FILE     punix:FILE
 *
 * HOST may be an IPv6 address in brackets. PORT defaults to 6653, OpenFlow's registered port
 * (ovs-vswitchd.conf.db(5), Controller.target). A relative FILE lies in the run directory.
 */
import { isAbsolute, join } from "node:path";

export const OPENFLOW_PORT = 6653;

export type Target =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "ptcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "punix"; readonly path: string };

export type TargetResult =
  | { readonly ok: true; readonly target: Target }
  | { readonly ok: false; readonly error: string };

const fail = (error: string): TargetResult => ({ ok: false, error });

/** Takes `text` apart; the error says what is wrong with it and what would be right. */
export function parseTarget(text: string, runDir: string): TargetResult {
  const colon = text.indexOf(":");
  const scheme = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? "" : text.slice(colon + 1);
  switch (scheme) {
    case "tcp":
      return activeTcp(text, rest);
    case "ptcp":
      return passiveTcp(text, rest);
    case "unix":
    case "punix":
      if (rest === "") return fail(`${text}: a file name must follow "${scheme}:"`);
      return {
        ok: true,
        target: { kind: scheme, path: isAbsolute(rest) ? rest : join(runDir, rest) },
      };
    case "ssl":
    case "pssl":
      return fail(
        `${text}: connections over SSL/TLS are not supported yet; ` +
          `use ${scheme === "ssl" ? "tcp:HOST:PORT" : "ptcp:PORT"}`,
      );
    default:
      return fail(`${text}: unknown kind of connection; use tcp:, ptcp:, unix: or punix:`);
  }
}

function parsePort(text: string): number | undefined {
  if (!/^[0-9]{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65535 ? port : undefined;
}

function activeTcp(text: string, rest: string): TargetResult {
  const parts = /^(\[[0-9a-fA-F:.]+(?:%[^\]]+)?\]|[^:[\]]+)(?::(.*))?$/.exec(rest);
  if (!parts) return fail(`${text}: not of the form tcp:HOST[:PORT] ([HOST] for IPv6)`);
  const port = parts[2] === undefined ? OPENFLOW_PORT : parsePort(parts[2]);
  if (!port) return fail(`${text}: "${parts[2]}" is not a port number (1 to 65535)`);
  return { ok: true, target: { kind: "tcp", host: bare(parts[1]!), port } };
}

function passiveTcp(text: string, rest: string): TargetResult {
  const parts = /^([^:]*)(?::(.+))?$/.exec(rest);
  if (!parts) return fail(`${text}: not of the form ptcp:[PORT][:HOST] ([HOST] for IPv6)`);
  const port = parts[1] === "" ? OPENFLOW_PORT : parsePort(parts[1]!);
  if (port === undefined) return fail(`${text}: "${parts[1]}" is not a port number (0 to 65535)`);
  return { ok: true, target: { kind: "ptcp", host: bare(parts[2] ?? "0.0.0.0"), port } };
}

function bare(host: string): string {
  return host.startsWith("[") ? host.slice(1, -1) : host;
}

/** True for targets that wait for connections instead of making one. */
export function isPassive(target: Target): boolean {
  return target.kind === "ptcp" || target.kind === "punix";
}
