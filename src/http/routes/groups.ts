/** Groups and meters of a bridge, as JSON and as `ovs-ofctl` text. */
import { z } from "zod";
import { ifMatchHeader, refuseUnlessMatch, tagOf } from "../entity-tag.ts";
import { collection } from "./collection.ts";
import { acceptHeader, bridgeOf, operated, TEXT, wantsText } from "./running.ts";
import { type Call, operation, type Output } from "./route.ts";

const tag = "Flows";
const count = z.number().int();
const counted = z.array(z.object({ packets: count, bytes: count }));

export const groupsSchema = z.object({
  groups: z.array(z.object({
    group: count,
    type: z.string(),
    text: z.string().describe("As `ovs-ofctl` takes it."),
    packets: count,
    bytes: count,
    references: count,
    durationSeconds: count,
    buckets: counted,
  })),
});

const textBody = z.strictObject({ text: z.string().min(1).max(60_000) });
const doneSchema = z.object({ done: z.literal(true) });
const done = { done: true } as const;
const said = (text: string): string => text.trim().slice(0, 120);

type Of = Pick<Call, "source" | "params" | "header">;
const groupHeaders = ifMatchHeader("the bridge's groups");
const groupsTag = (call: Of): string =>
  tagOf(call.source.vswitch.operate.groupsText(bridgeOf(call)));
const groupsUnchanged = (call: Of): void =>
  refuseUnlessMatch(call.header("if-match"), () => groupsTag(call), "The groups");
const meterHeaders = ifMatchHeader("the bridge's meters");
const metersTag = (call: Of): string =>
  tagOf(call.source.vswitch.operate.metersText(bridgeOf(call)));
const metersUnchanged = (call: Of): void =>
  refuseUnlessMatch(call.header("if-match"), () => metersTag(call), "The meters");

export const listGroups = collection("groups", {
  tag,
  summary: "Groups of a bridge",
  headers: acceptHeader,
  response: groupsSchema,
  alsoAnswers: TEXT,
  handle(call): Output {
    const name = bridgeOf(call);
    const { operate } = call.source.vswitch;
    return wantsText(call)
      ? { text: operate.groupsText(name) }
      : { json: { groups: operate.groups(name) }, headers: { etag: groupsTag(call) } };
  },
});

export const addGroup = operation({
  tag,
  headers: groupHeaders,
  summary: "Add a group",
  body: textBody,
  bodyText: "`group_id=1,type=select,bucket=output:1,bucket=output:2`",
  status: 201,
  response: doneSchema,
  async handle(call) {
    const { source, body: { text } } = call;
    groupsUnchanged(call);
    await operated(() => source.vswitch.operate.changeGroup(bridgeOf(call), "add", text));
    return { json: done, audit: `added ${said(text)}` };
  },
});

export const changeGroup = operation({
  tag,
  headers: groupHeaders,
  summary: "Change a group, or add it",
  body: textBody,
  bodyText: "`group_id=1,type=select,bucket=output:2`",
  response: doneSchema,
  async handle(call) {
    const { source, body: { text } } = call;
    groupsUnchanged(call);
    await operated(() => source.vswitch.operate.changeGroup(bridgeOf(call), "add_or_mod", text));
    return { json: done, audit: `changed ${said(text)}` };
  },
});

const groupNumber = z.string().regex(/^\d{1,10}$|^all$/, "a group's number, or all");

export const removeGroup = operation({
  tag,
  headers: groupHeaders,
  summary: "Remove a group, and the flows that use it; `group=all` for all",
  query: z.strictObject({ group: groupNumber }),
  response: doneSchema,
  async handle(call) {
    const { source, query: { group } } = call;
    groupsUnchanged(call);
    const text = group === "all" ? "" : `group_id=${group}`;
    await operated(() => source.vswitch.operate.changeGroup(bridgeOf(call), "delete", text));
    return { json: done, audit: `removed group ${group}` };
  },
});

export const metersSchema = z.object({
  meters: z.array(z.object({
    meter: count,
    text: z.string(),
    packets: count,
    bytes: count,
    flows: count,
    durationSeconds: count,
    bands: counted,
  })),
});

export const listMeters = collection("meters", {
  tag,
  summary: "Meters of a bridge",
  headers: acceptHeader,
  response: metersSchema,
  alsoAnswers: TEXT,
  handle(call): Output {
    const name = bridgeOf(call);
    const { operate } = call.source.vswitch;
    return wantsText(call)
      ? { text: operate.metersText(name) }
      : { json: { meters: operate.meters(name) }, headers: { etag: metersTag(call) } };
  },
});

export const addMeter = operation({
  tag,
  headers: meterHeaders,
  summary: "Add a meter",
  body: textBody,
  bodyText: "`meter=1,kbps,band=type=drop,rate=1000`",
  status: 201,
  response: doneSchema,
  async handle(call) {
    const { source, body: { text } } = call;
    metersUnchanged(call);
    await operated(() => source.vswitch.operate.changeMeter(bridgeOf(call), "add", text));
    return { json: done, audit: `added ${said(text)}` };
  },
});

export const changeMeter = operation({
  tag,
  headers: meterHeaders,
  summary: "Change a meter",
  body: textBody,
  bodyText: "`meter=1,kbps,band=type=drop,rate=2000`",
  response: doneSchema,
  async handle(call) {
    const { source, body: { text } } = call;
    metersUnchanged(call);
    await operated(() => source.vswitch.operate.changeMeter(bridgeOf(call), "modify", text));
    return { json: done, audit: `changed ${said(text)}` };
  },
});

export const removeMeter = operation({
  tag,
  headers: meterHeaders,
  summary: "Remove a meter, and the flows that use it; `meter=all` for all",
  query: z.strictObject({
    meter: z.string().regex(/^\d{1,10}$|^all$/, "a meter's number, or all"),
  }),
  response: doneSchema,
  async handle(call) {
    const { source, query: { meter } } = call;
    metersUnchanged(call);
    const text = `meter=${meter}`;
    await operated(() => source.vswitch.operate.changeMeter(bridgeOf(call), "delete", text));
    return { json: done, audit: `removed meter ${meter}` };
  },
});
