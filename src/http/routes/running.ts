/** What routes share that ask the running switch: its bridge, its errors, its tools' texts. */
import { OperateError } from "../../slowpath/operate.ts";
import { HttpProblem } from "../problem.ts";
import type { Call } from "./route.ts";

export const TEXT = ["text/plain"] as const;
export const acceptHeader = { Accept: "`text/plain` for the text of the matching tool." } as const;

export const wantsText = ({ header }: Pick<Call, "header">): boolean => {
  const accept = header("accept") ?? "";
  return accept.includes("text/plain") && !accept.includes("json");
};

/** The running bridge of the path. */
export function bridgeOf(
  { source, params: { name = "" } }: Pick<Call, "source" | "params">,
): string {
  if (source.vswitch.operate.has(name)) return name;
  throw new HttpProblem(404, `There is no bridge ${JSON.stringify(name)} running.`);
}

/** Errors that the request caused are the request's. */
export async function operated<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof OperateError)) throw error;
    const { index, message } = error;
    const where = index === undefined ? "" : `flow ${index + 1}: `;
    throw new HttpProblem(400, `${where}${message}`, {
      members: index === undefined ? {} : { flow: index },
    });
  }
}
