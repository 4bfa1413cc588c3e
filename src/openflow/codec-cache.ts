/** What one end of a connection remembers of messages, so that the next like them take less time. */
import { ActionLists } from "./actions/lists.ts";
import type { FlowKey } from "../packet/key.ts";
import { MatchShapes } from "./match-shapes.ts";
import type { OfVersion } from "./version.ts";

export class CodecCache {
  readonly shapes = new MatchShapes();
  readonly actions: ActionLists;
  /**
   * Keys of matches of flow-mods and flow statistics are made in this one, if their shapes are known:
   * each is good until the next is decoded.
   */
  key: FlowKey | undefined;

  /** `version`: the connection's. */
  constructor(version?: OfVersion) {
    this.actions = new ActionLists(version);
  }
}
