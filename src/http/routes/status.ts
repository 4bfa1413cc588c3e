/** `/api/v1/status`: the switch as a whole. */
import { z } from "zod";
import type { HttpSource } from "../source.ts";
import { operation } from "./route.ts";

export const statusSchema = z.object({
  version: z.string(),
  /** The Open vSwitch version whose behaviour and protocols these are. */
  ovsVersion: z.string().nullable(),
  uptimeSeconds: z.number(),
  datapathType: z.string(),
  bridges: z.number().int(),
  ports: z.number().int(),
  /** `inForce`: the switch has done all that the database asks (cur_cfg has reached next_cfg). */
  configuration: z.object({
    nextCfg: z.number().int(),
    curCfg: z.number().int(),
    inForce: z.boolean(),
  }),
  /** Datapath, cache and connection counters by name. */
  counters: z.record(z.string(), z.number()),
});
export type Status = z.infer<typeof statusSchema>;

export function readStatus(source: HttpSource): Status {
  const [root] = source.replica.rows("Open_vSwitch").values();
  const { datapathType, bridges, ports, counters } = source.vswitch.status();
  const { nextCfg, curCfg } = source.configuration();
  return {
    version: source.version,
    ovsVersion: root?.ovs_version ?? null,
    uptimeSeconds: Math.floor(source.uptimeMs() / 1000),
    datapathType,
    bridges,
    ports,
    configuration: { nextCfg, curCfg, inForce: curCfg >= nextCfg },
    counters: { ...counters },
  };
}

export const showStatus = operation({
  tag: "Switch",
  summary: "The switch as a whole",
  response: statusSchema,
  handle: ({ source }) => ({ json: readStatus(source) }),
});
