/**
 * A datapath with the flow cache above it, as bridges and the reconciler use the two. There is one
 * for each datapath type in use: "netdev" (which "system" and "" mean too), and "dummy" in tests.
 */
import type { Datapath } from "../../fastpath/datapath.ts";
import type { BridgeBackend } from "./bridge.ts";

export interface Backend extends BridgeBackend {
  readonly datapath: Datapath;
  /** A port that a bridge uses was attached or is gone: packets from it belong to that bridge. */
  close(): Promise<void>;
}

/** What `datapath_type` means, or undefined if there is no such type. */
export function datapathType(
  wanted: string,
  dummyEnabled: boolean,
): "netdev" | "dummy" | undefined {
  switch (wanted) {
    case "":
    case "system":
    case "netdev":
      return "netdev";
    case "dummy":
      return dummyEnabled ? "dummy" : undefined;
    default:
      return undefined;
  }
}
