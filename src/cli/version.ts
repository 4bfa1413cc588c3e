import manifest from "../../package.json" with { type: "json" };

/** solovs' own version. */
export const SOLOVS_VERSION: string = manifest.version;

/** The Open vSwitch release whose behaviour solovs follows; `Open_vSwitch.ovs_version` holds it. */
export const OVS_VERSION = "3.1.0";
