/** What Open vSwitch calls messages: `OFPT_FLOW_MOD`, `NXST_FLOW reply`, with version and xid. */
import type { MessageIdentity } from "../codec.ts";
import { NX_VENDOR, OF15, type OfVersion } from "../version.ts";

/** Where the name is not the record's type in capitals. */
const OTHERWISE: Readonly<Record<string, string>> = {
  "NXT packet_in 17": "PACKET_IN",
  "NXT packet_in 30": "PACKET_IN2",
  "NXT set_async 19": "SET_ASYNC_CONFIG",
  "NXT set_async 27": "SET_ASYNC_CONFIG2",
  "OFPT bundle_add 34": "BUNDLE_ADD_MESSAGE",
  "ONFT bundle_add 2301": "BUNDLE_ADD_MESSAGE",
  "OFPST queue_get_config_request 15": "QUEUE_DESC",
  "OFPST queue_get_config_reply 15": "QUEUE_DESC",
};

function kindOf({ vendor, shape }: MessageIdentity): string {
  if (shape === "message") return vendor === 0 ? "OFPT" : vendor === NX_VENDOR ? "NXT" : "ONFT";
  return vendor === 0 ? "OFPST" : vendor === NX_VENDOR ? "NXST" : "ONFST";
}

export function messageName(identity: MessageIdentity): string {
  const { name, shape, number } = identity;
  const kind = kindOf(identity);
  const suffix = shape === "message" ? "" : ` ${shape}`;
  if (/^(OFP|NX|ONF)/.test(name)) return `${name}${suffix}`;
  const other = OTHERWISE[`${kind} ${name} ${number}`];
  if (other !== undefined) return `${kind}_${other}${suffix}`;
  const base = shape === "message" ? name : name.replace(/(_stats)?_(request|reply)$/, "");
  return `${kind}_${base.toUpperCase()}${suffix}`;
}

const VERSION_WORDS: Readonly<Record<OfVersion, string>> = {
  1: "",
  2: " (OF1.1)",
  3: " (OF1.2)",
  4: " (OF1.3)",
  5: " (OF1.4)",
  6: " (OF1.5)",
};

/** The beginning of a message's text: `OFPT_HELLO (OF1.3) (xid=0x1):`. */
export function messageHeader(identity: MessageIdentity, wireVersion = 0): string {
  const version = wireVersion > OF15
    ? ` (OF 0x${wireVersion.toString(16).padStart(2, "0")})`
    : VERSION_WORDS[identity.version];
  return `${messageName(identity)}${version} (xid=0x${identity.xid.toString(16)}):`;
}
