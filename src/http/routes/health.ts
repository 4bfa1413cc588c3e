/** `/healthz` and `/readyz`: for supervisors and load balancers, without a login. */
import { z } from "zod";
import { HttpProblem } from "../problem.ts";
import { operation } from "./route.ts";

export const healthSchema = z.object({ status: z.literal("ok") });

export const health = operation({
  tag: "Health",
  summary: "Whether the process answers",
  response: healthSchema,
  handle: () => ({ json: { status: "ok" } }),
});

export const ready = operation({
  tag: "Health",
  summary: "Whether the switch does what its configuration says",
  description: "503 while a change of the configuration is not in force yet.",
  response: healthSchema,
  handle: ({ source }) => {
    const { nextCfg, curCfg } = source.configuration();
    if (curCfg >= nextCfg) return { json: { status: "ok" } };
    throw new HttpProblem(
      503,
      `The switch is still acting on a change (cur_cfg ${curCfg}, next_cfg ${nextCfg}).`,
      { headers: { "retry-after": "1" } },
    );
  },
});
