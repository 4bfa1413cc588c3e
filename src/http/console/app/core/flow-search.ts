/**
 * The search of the flows' page: words, all of which must fit. `packets>100`, `table=0`,
 * `cookie=0x1`, `idle>60` look at numbers; any other word is looked for in match and actions.
 */
import type { Flow, Rate } from "../pages/flow-rates.ts";

export type Test = (flow: Flow, rate: Rate | undefined) => boolean;

const NUMBERS: Readonly<Record<string, (flow: Flow, rate: Rate | undefined) => number>> = {
  table: ({ table }) => table,
  priority: ({ priority }) => priority,
  packets: ({ packets }) => packets ?? 0,
  bytes: ({ bytes }) => bytes ?? 0,
  idle: ({ idleAgeSeconds }) => idleAgeSeconds,
  age: ({ durationSeconds }) => durationSeconds,
  pps: (_, rate) => rate?.pps ?? 0,
};

function wordTest(word: string): Test {
  const [, name = "", sign = "", text = ""] = /^(\w+)(>=|<=|>|<|=)(.+)$/.exec(word) ?? [];
  const number = NUMBERS[name];
  const wanted = Number(text);
  if (number !== undefined && Number.isFinite(wanted)) {
    switch (sign) {
      case ">":
        return (flow, rate) => number(flow, rate) > wanted;
      case "<":
        return (flow, rate) => number(flow, rate) < wanted;
      case ">=":
        return (flow, rate) => number(flow, rate) >= wanted;
      case "<=":
        return (flow, rate) => number(flow, rate) <= wanted;
      default:
        return (flow, rate) => number(flow, rate) === wanted;
    }
  }
  if (name === "cookie" && sign === "=") {
    try {
      const cookie = BigInt(text);
      return (flow) => BigInt(flow.cookie) === cookie;
    } catch {
      return () => false;
    }
  }
  if (name === "actions" && sign === "=") {
    return ({ actions }) => actions.toLowerCase().includes(text.toLowerCase());
  }
  const lower = word.toLowerCase();
  return ({ match, actions }) =>
    match.toLowerCase().includes(lower) || actions.toLowerCase().includes(lower);
}

export function searchTest(text: string): Test {
  const tests = text.trim().split(/\s+/).filter(Boolean).map(wordTest);
  return (flow, rate) => tests.every((test) => test(flow, rate));
}
