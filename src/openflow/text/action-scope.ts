/** What the readers of actions' arguments share. */
import { parsePort, TextError } from "../../packet/text.ts";
import type { TextNames } from "./names.ts";
import type { Action } from "../actions/types.ts";
import type { Outer } from "../actions/verify.ts";

export interface ActionScope {
  readonly names: TextNames | undefined;
  readonly depth: number;
  /** Reads the actions inside of another, which may not hold instructions. */
  nested(text: string, outer: Outer): Action[];
}

export function needPort(text: string, scope: ActionScope, message: string): number {
  const port = parsePort(text, scope.names);
  if (port === undefined) throw new TextError(message);
  return port;
}
