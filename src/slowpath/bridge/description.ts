/** What a bridge says of itself to OpenFlow connections, unless it is configured otherwise. */
import type { SwitchDescription } from "../control/switch.ts";

/** The Open vSwitch release that this switch is compatible with and says it is. */
export const COMPATIBLE_VERSION = "3.1.0";

export const DEFAULT_DESCRIPTION: SwitchDescription = {
  manufacturer: "Nicira, Inc.",
  hardware: "Open vSwitch",
  software: COMPATIBLE_VERSION,
  serial: "None",
  datapath: "None",
};
