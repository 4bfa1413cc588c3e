/** OpenFlow versions by wire number, and the numbers every part of the codec shares. */

/** Wire version: 1 = OpenFlow 1.0, 2 = 1.1, 3 = 1.2, 4 = 1.3, 5 = 1.4, 6 = 1.5. */
export type OfVersion = 1 | 2 | 3 | 4 | 5 | 6;

export const OF10 = 1;
export const OF11 = 2;
export const OF12 = 3;
export const OF13 = 4;
export const OF14 = 5;
export const OF15 = 6;

/** `OpenFlow13` and the like, as `ovs-ofctl -O` and the `protocols` column take them. */
export const VERSION_NAMES: Readonly<Record<OfVersion, string>> = {
  1: "OpenFlow10",
  2: "OpenFlow11",
  3: "OpenFlow12",
  4: "OpenFlow13",
  5: "OpenFlow14",
  6: "OpenFlow15",
};

export function isOfVersion(value: number): value is OfVersion {
  return Number.isInteger(value) && value >= OF10 && value <= OF15;
}

/**
 * The highest version in both bitmaps (bit N = wire version N), or undefined when none is shared.
 * A peer whose hello had no bitmap supports every version up to its header's (OpenFlow 1.3.5 §6.3.1);
 * `decode` already widened its bitmap.
 */
export function negotiate(ours: number, theirs: number): OfVersion | undefined {
  const both = ours & theirs;
  for (let version = OF15; version >= OF10; version--) {
    if (both & (1 << version)) return version as OfVersion;
  }
  return undefined;
}

/** Reserved ports in Open vSwitch's 16-bit numbering, which all records use. */
export const PORTS = {
  MAX: 0xff00,
  UNSET: 0xfff7,
  IN_PORT: 0xfff8,
  TABLE: 0xfff9,
  NORMAL: 0xfffa,
  FLOOD: 0xfffb,
  ALL: 0xfffc,
  CONTROLLER: 0xfffd,
  LOCAL: 0xfffe,
  NONE: 0xffff,
  /** The same number: "any port" in requests. */
  ANY: 0xffff,
} as const;

/** `table` value that stands for all tables, or for "the switch chooses" in an OpenFlow 1.0 add. */
export const TABLE_ALL = 0xff;
export const GROUP_ALL = 0xfffffffc;
export const GROUP_ANY = 0xffffffff;
export const QUEUE_ALL = 0xffffffff;

export const NX_VENDOR = 0x00002320;
export const ONF_VENDOR = 0x4f4e4600;
