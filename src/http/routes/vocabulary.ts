/** `/api/v1/vocabulary`: the words that flows are written in, from the one table of fields. */
import { z } from "zod";
import { operation } from "./route.ts";

export const vocabularySchema = z.object({
  fields: z.array(z.object({
    name: z.string(),
    aliases: z.array(z.string()),
    bits: z.number().int(),
    format: z.string(),
    maskable: z.boolean().describe("Takes any mask: `10.0.0.0/8`, `0x1/0xff`."),
    writable: z.boolean().describe("Actions may set it."),
    needs: z.string().nullable().describe("What the match must say too."),
  })),
  words: z.array(z.string()).describe("Stand by themselves: `tcp`, `arp`."),
  actions: z.array(z.string()),
  ports: z.array(z.string()).describe("Names of ports that every bridge has."),
});
export type VocabularyJson = z.infer<typeof vocabularySchema>;

export const showVocabulary = operation({
  tag: "Flows",
  summary: "Fields, words and actions that flows are written in",
  response: vocabularySchema,
  handle: ({ source }) => ({ json: source.vswitch.observe.vocabulary() }),
});
