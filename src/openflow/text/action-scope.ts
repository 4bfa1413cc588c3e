/** What the readers of actions' arguments share. */
import { parsePort, TextError } from "../../packet/text.ts";
import type { TextNames } from "./names.ts";
import type { Action } from "../actions/types.ts";

export interface ActionScope {
  readonly names: TextNames | undefined;
  readonly depth: number;
  /** Reads nested actions, which may not hold instructions. */
  nested(text: string): Action[];
}

export function needPort(text: string, scope: ActionScope, message: string): number {
  const port = parsePort(text, scope.names);
  if (port === undefined) throw new TextError(message);
  return port;
}
