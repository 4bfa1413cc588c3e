/**
 * Connection targets as the database and the command line write them:
 *
 *     tcp:HOST[:PORT]     ptcp:[PORT][:HOST]     unix:FILE     punix:FILE
 *     ssl:HOST[:PORT]     pssl:[PORT][:HOST]
 *
 * HOST may be an IPv6 address in brackets. PORT defaults to 6653, OpenFlow's registered port
 * (ovs-vswitchd.conf.db(5), Controller.target). A relative FILE lies in the run directory.
 */
import { isAbsolute, join } from "node:path";

export const OPENFLOW_PORT = 6653;

export type Target =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "ptcp"; readonly host: string; readonly port: number }
  | { readonly kind: "ssl"; readonly host: string; readonly port: number }
  | { readonly kind: "pssl"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "punix"; readonly path: string };

export type PassiveTarget = Extract<Target, { readonly kind: "ptcp" | "pssl" | "punix" }>;
export type ActiveTarget = Exclude<Target, PassiveTarget>;

export type TargetResult =
  | { readonly ok: true; readonly target: Target }
  | { readonly ok: false; readonly error: string };

const fail = (error: string): TargetResult => ({ ok: false, error });

/**
 * Takes `text` apart; the error says what is wrong with it and what would be right. `defaultPort`: of
 * active connections.
 */
export function parseTarget(
  text: string,
  runDir: string,
  defaultPort = OPENFLOW_PORT,
): TargetResult {
  const colon = text.indexOf(":");
  const scheme = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? "" : text.slice(colon + 1);
  switch (scheme) {
    case "tcp":
    case "ssl":
      return active(scheme, text, rest, defaultPort);
    case "ptcp":
    case "pssl":
      return passive(scheme, text, rest);
    case "unix":
    case "punix":
      if (rest === "") return fail(`${text}: a file name must follow "${scheme}:"`);
      return {
        ok: true,
        target: { kind: scheme, path: isAbsolute(rest) ? rest : join(runDir, rest) },
      };
    default:
      return fail(
        `${text}: unknown kind of connection; use tcp:, ptcp:, ssl:, pssl:, unix: or punix:`,
      );
  }
}

function parsePort(text: string): number | undefined {
  if (!/^[0-9]{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65535 ? port : undefined;
}

function active(
  kind: "tcp" | "ssl",
  text: string,
  rest: string,
  defaultPort: number,
): TargetResult {
  const parts = /^(\[[0-9a-fA-F:.]+(?:%[^\]]+)?\]|[^:[\]]+)(?::(.*))?$/.exec(rest);
  if (!parts) return fail(`${text}: not of the form ${kind}:HOST[:PORT] ([HOST] for IPv6)`);
  const port = parts[2] === undefined ? defaultPort : parsePort(parts[2]);
  if (!port) return fail(`${text}: "${parts[2]}" is not a port number (1 to 65535)`);
  return { ok: true, target: { kind, host: bare(parts[1]!), port } };
}

function passive(kind: "ptcp" | "pssl", text: string, rest: string): TargetResult {
  const parts = /^([^:]*)(?::(.+))?$/.exec(rest);
  if (!parts) return fail(`${text}: not of the form ${kind}:[PORT][:HOST] ([HOST] for IPv6)`);
  const port = parts[1] === "" ? OPENFLOW_PORT : parsePort(parts[1]!);
  if (port === undefined) return fail(`${text}: "${parts[1]}" is not a port number (0 to 65535)`);
  return { ok: true, target: { kind, host: bare(parts[2] ?? "0.0.0.0"), port } };
}

function bare(host: string): string {
  return host.startsWith("[") ? host.slice(1, -1) : host;
}

/** True for targets that wait for connections instead of making one. */
export function isPassive(target: Target): target is PassiveTarget {
  return target.kind === "ptcp" || target.kind === "pssl" || target.kind === "punix";
}
