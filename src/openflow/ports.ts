/**
 * Port numbers: OpenFlow 1.1 and later use 32 bits, Open vSwitch 16 inside (as OpenFlow 1.0 does).
 * 0..0xfeff are the same in both; the reserved ports are 0xffffff00..0xffffffff in the wide form.
 */
import { type ErrorName, OfError } from "./errors.ts";
import { OF10, type OfVersion, PORTS } from "./version.ts";
import type { Reader, Writer } from "./wire.ts";

/** The 16-bit number of a 32-bit one, or undefined if it has none. */
export function portFromWide(wide: number): number | undefined {
  if (wide < PORTS.MAX) return wide;
  return wide >= 0xffffff00 ? wide & 0xffff : undefined;
}

export function portToWide(port: number): number {
  return port < PORTS.MAX ? port : 0xffff0000 + port;
}

/** What the tools log of a number that is no port's. */
export const beyondPorts = (wide: number): string =>
  `port ${wide} is outside the supported range 0 through ${PORTS.MAX - 1} or 0xffffff00 through ` +
  "0xffffffff";

/** Reads a port in the version's width; one beyond 16 bits throws `error`. */
export function readPort(
  reader: Reader,
  version: OfVersion,
  error: ErrorName = "OFPBAC_BAD_OUT_PORT",
): number {
  if (version === OF10) return reader.u16();
  const at = reader.offset;
  const wide = reader.u32();
  const port = portFromWide(wide);
  if (port === undefined) {
    throw new OfError(error, at, `port ${wide} is outside the supported range 0..65279`, {
      module: "ofp_port",
      text: () => beyondPorts(wide),
    });
  }
  return port;
}

export function writePort(writer: Writer, version: OfVersion, port: number): void {
  if (version === OF10) writer.u16(port);
  else writer.u32(portToWide(port));
}
