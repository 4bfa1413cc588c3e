/** The text of `ofproto/trace` as a tree: passes, bridges, tables, what each does. */

export type StepKind = "bridge" | "table" | "action" | "remark" | "warning";

export interface Step {
  /** Counted over the whole trace. */
  readonly number: number;
  readonly kind: StepKind;
  /** Of a table: its number. */
  readonly table?: string;
  readonly text: string;
  readonly children: readonly Step[];
}

export interface Pass {
  /** Why there is another one: `recirc(0x1) - resume conntrack …`; undefined for the first. */
  readonly why: string | undefined;
  readonly flow: string;
  readonly steps: readonly Step[];
  readonly finalFlow: string;
  readonly megaflow: string;
  readonly actions: string;
  /** What went wrong, or why it takes the slow way. */
  readonly remarks: readonly string[];
}

interface Building {
  readonly indent: number;
  readonly step: { -readonly [K in keyof Step]: Step[K] } & { children: Step[] };
}

const RULER = /^={20,}$/;

export function parseTrace(text: string): readonly Pass[] {
  const lines = text.split("\n");
  const passes: Pass[] = [];
  let why: string | undefined;
  let part: string[] = [];
  const close = (): void => {
    if (part.some((line) => line.startsWith("Flow: "))) passes.push(parsePass(part, why, passes));
    part = [];
  };
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? "";
    if (!RULER.test(line)) {
      part.push(line);
      continue;
    }
    close();
    const title: string[] = [];
    for (i++; i < lines.length && !RULER.test(lines[i] ?? ""); i++) title.push(lines[i] ?? "");
    why = title.join(" ").replace(/\s+/g, " ").trim();
  }
  close();
  return passes;
}

const countOf = (steps: readonly Step[]): number =>
  steps.reduce((sum, { children }) => sum + 1 + countOf(children), 0);
export const stepCount = (passes: readonly Pass[]): number =>
  passes.reduce((sum, { steps }) => sum + countOf(steps), 0);

function parsePass(
  lines: readonly string[],
  why: string | undefined,
  before: readonly Pass[],
): Pass {
  const value = (name: string): string =>
    lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
  const from = lines.findIndex((line) => line.startsWith("Flow: ")) + 1;
  const to = lines.findIndex((line) => line.startsWith("Final flow: "));
  const actionsAt = lines.findIndex((line) => line.startsWith("Datapath actions: "));
  return {
    why,
    flow: value("Flow"),
    steps: parseSteps(lines.slice(from, to < 0 ? lines.length : to), stepCount(before)),
    finalFlow: value("Final flow"),
    megaflow: value("Megaflow"),
    actions: value("Datapath actions"),
    remarks: actionsAt < 0
      ? []
      : lines.slice(actionsAt + 1).map((line) => line.trim()).filter(Boolean),
  };
}

function parseSteps(lines: readonly string[], first: number): Step[] {
  const top: Step[] = [];
  const open: Building[] = [];
  let number = first;
  for (const line of lines) {
    const trimmed = line.trim();
    if (trimmed === "" || /^-{3,}$/.test(trimmed)) continue;
    const table = /^(\s*)(\d+)\. (.*)$/.exec(line);
    // A table's number is set to the right: its actions stand below its text.
    const indent = table ? line.indexOf(table[3] ?? "") - 4 : line.length - line.trimStart().length;
    const kind: StepKind = table
      ? "table"
      : /^bridge\(/.test(trimmed)
      ? "bridge"
      : /^>>>>|^>> /.test(trimmed)
      ? "warning"
      : /^(->|>)/.test(trimmed)
      ? "remark"
      : "action";
    const step = {
      number: number++,
      kind,
      ...(table && { table: table[2] ?? "" }),
      text: table ? table[3] ?? "" : trimmed.replace(/^(->|>+) ?/, ""),
      children: [] as Step[],
    };
    const level = kind === "bridge" ? -1 : indent;
    while (open.length > 0 && (open.at(-1) as Building).indent >= level) {
      // A bridge holds what follows at any depth until the next one of its depth.
      const last = open.at(-1) as Building;
      if (last.step.kind === "bridge" && kind !== "bridge" && last.indent < 0) break;
      open.pop();
    }
    const parent = open.at(-1);
    (parent?.step.children ?? top).push(step);
    open.push({ indent: level, step });
  }
  return top;
}
