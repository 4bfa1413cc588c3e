/** `/api/v1/logs/levels`: how much each module logs, changed while it runs. */
import { z } from "zod";
import { LOG_LEVELS } from "../../log/log.ts";
import { HttpProblem } from "../problem.ts";
import type { HttpSource } from "../source.ts";
import { command } from "./commands.ts";
import { operation, type Output } from "./route.ts";
import { acceptHeader, TEXT, wantsText } from "./running.ts";

const tag = "Switch";
const level = z.enum(LOG_LEVELS);

export const levelsSchema = z.object({ levels: z.record(z.string(), level) });

const levelsOf = ({ log }: HttpSource) =>
  Object.fromEntries(log.modules().map((name) => [name, log.level(name)]));

export const listLogLevels = operation({
  tag,
  summary: "Log level of each module",
  headers: acceptHeader,
  response: levelsSchema,
  alsoAnswers: TEXT,
  async handle(call): Promise<Output> {
    if (wantsText(call)) return { text: await command(call.source, "vlog/list", []) };
    return { json: { levels: levelsOf(call.source) } };
  },
});

export const changeLogLevels = operation({
  tag,
  summary: "Change log levels, until the daemon ends",
  body: z.strictObject({
    levels: z.record(z.string().max(64), level)
      .describe("Module → level; the module `any` stands for all."),
  }),
  response: levelsSchema,
  handle({ source, body: { levels } }) {
    const known = new Set(source.log.modules());
    const changes = Object.entries(levels);
    for (const [module] of changes) {
      if (module === "any" || known.has(module)) continue;
      throw new HttpProblem(
        404,
        `There is no module ${JSON.stringify(module)}; GET /api/v1/logs/levels lists them.`,
      );
    }
    for (const [module, wanted] of changes) {
      source.log.setLevel(wanted, module === "any" ? undefined : module);
    }
    const said = changes.map(([module, wanted]) => `${module}:${wanted}`).join(" ");
    return { json: { levels: levelsOf(source) }, audit: `log levels ${said}` };
  },
});
