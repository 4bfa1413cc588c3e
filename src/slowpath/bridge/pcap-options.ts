/**
 * Interfaces of type `pcap`: capture files instead of a wire. A device of the host is not needed.
 *
 *     options:rx_pcap=FILE      packets that come in: each that the file has
 *     options:tx_pcap=FILE      packets that leave are added to the file
 *     options:rx_rate=N|max     packets a second; as they were captured unless given
 *     options:rx_repeat=true    from the beginning again after the last packet
 *
 * Files are in the run directory: whoever can write to the database does not choose where this
 * process, which may be root, reads and writes.
 */
import { realpathSync } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import type { PcapPortOptions } from "../../fastpath/pcap-replay.ts";

/** `message` is for the `error` column. */
export class PcapOptionsError extends Error {
  override readonly name = "PcapOptionsError";
}

const NAMES: ReadonlySet<string> = new Set(["rx_pcap", "tx_pcap", "rx_rate", "rx_repeat"]);
const MAX_RATE = 1_000_000;

export function pcapOptions(
  name: string,
  options: ReadonlyMap<string, string>,
  runDir: string,
): PcapPortOptions {
  const refuse = (why: string): never => {
    throw new PcapOptionsError(`${name}: ${why}`);
  };
  for (const key of options.keys()) if (!NAMES.has(key)) refuse(`unknown pcap option ${key}`);
  const file = (key: string): string | undefined => {
    const text = options.get(key);
    return text === undefined ? undefined : inside(runDir, text) ??
      refuse(`${key}: ${text} is not a file in ${runDir}`);
  };
  const rx = file("rx_pcap");
  const tx = file("tx_pcap");
  if (rx === undefined && tx === undefined) refuse("pcap needs 'rx_pcap', 'tx_pcap' or both");
  if (rx !== undefined && rx === tx) refuse("rx_pcap and tx_pcap are the same file");
  const text = options.get("rx_rate");
  const rate = text === undefined ? "recorded" : text === "max" ? "max" : Number(text);
  if (typeof rate === "number" && !(rate > 0 && rate <= MAX_RATE)) {
    refuse(`rx_rate: ${text} is neither "max" nor a number of packets a second`);
  }
  return { rx, tx, rate, repeats: options.get("rx_repeat") === "true" };
}

/** The path without symbolic links on the way, if it is below the directory. */
function inside(runDir: string, text: string): string | undefined {
  const path = resolve(runDir, text);
  try {
    const root = realpathSync(runDir);
    const directory = realpathSync(dirname(path));
    if (directory !== root && !directory.startsWith(root + sep)) return undefined;
    const found = join(directory, basename(path));
    // A link out of the directory is followed by whoever opens the file.
    return isLink(found) ? undefined : found;
  } catch {
    return undefined;
  }
}

function isLink(path: string): boolean {
  try {
    return realpathSync(path) !== path;
  } catch {
    return false;
  }
}
