/**
 * `/api/v1/bridges` and `/api/v1/bridges/{name}`: bridges as the database wants them, each with what
 * the switch made of it. A port that could not be set up is there with its error.
 */
import { z } from "zod";
import type { BondReading } from "../../slowpath/observe.ts";
import { type OutlineRow, printOutline } from "../../db/outline.ts";
import type { Row, Table } from "../../db/table.ts";
import type { Datum } from "../../db/values/datum.ts";
import { HttpProblem } from "../problem.ts";
import { entityTag, rowOf, tableOf } from "../rows/find.ts";
import type { HttpSource } from "../source.ts";
import { collection } from "./collection.ts";
import { operation } from "./route.ts";
import { acceptHeader, TEXT, wantsText } from "./running.ts";

const interfaceSchema = z.object({
  name: z.string(),
  /** "" for a host's device, "internal", "patch" … as Interface.type. */
  type: z.string(),
  /** OpenFlow port number; null while the port is not up yet, -1 if it could not be set up. */
  ofport: z.number().int().nullable(),
  adminState: z.enum(["up", "down"]).nullable(),
  linkState: z.enum(["up", "down"]).nullable(),
  mac: z.string().nullable(),
  mtu: z.number().int().nullable(),
  linkSpeedBps: z.number().nullable(),
  error: z.string().nullable(),
  /** As configured: a tunnel's remote_ip, a patch's peer. */
  options: z.record(z.string(), z.string()),
  /** Interface.statistics: rx_packets, tx_bytes … */
  statistics: z.record(z.string(), z.number()),
});

const portSchema = z.object({
  name: z.string(),
  vlanMode: z.string().nullable(),
  tag: z.number().int().nullable(),
  trunks: z.array(z.number().int()),
  /** The UUID of its QoS. */
  qos: z.string().nullable(),
  /** Null: one interface, or not running. */
  bond: z.object({
    mode: z.string(),
    lacp: z.enum(["negotiated", "configured", "off"]),
    members: z.array(z.object({ name: z.string(), enabled: z.boolean(), active: z.boolean() })),
  }).nullable(),
  interfaces: z.array(interfaceSchema),
});

export const bridgeSchema = z.object({
  name: z.string(),
  /** 16 hexadecimal digits; null until the switch has set the bridge up. */
  datapathId: z.string().nullable(),
  datapathType: z.string(),
  failMode: z.enum(["standalone", "secure"]),
  protocols: z.array(z.string()),
  /** OpenFlow flows in all tables; null until the switch has set the bridge up. */
  flows: z.number().int().nullable(),
  controllers: z.array(z.object({ target: z.string(), connected: z.boolean() })),
  ports: z.array(portSchema),
});
export const bridgesSchema = z.object({ bridges: z.array(bridgeSchema) });

export type Bridge = z.infer<typeof bridgeSchema>;
export type Bridges = z.infer<typeof bridgesSchema>;
type Port = z.infer<typeof portSchema>;
type Interface = z.infer<typeof interfaceSchema>;

const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
  a.name < b.name ? -1 : a.name > b.name ? 1 : 0;

/** All bridges, by name. */
export function readBridges(source: HttpSource): Bridges {
  const { replica } = source;
  const running = new Map(source.vswitch.bridges().map((view) => [view.name, view]));
  const bonds = source.vswitch.observe.bonds();
  const bridges = [...replica.rows("Bridge").values()].map((row): Bridge => {
    const view = running.get(row.name);
    const controllers = row.controller.flatMap((uuid) => {
      const controller = replica.rows("Controller").get(uuid);
      if (!controller) return [];
      const { target } = controller;
      const seen = view?.controllers.find((one) => one.target === target);
      return [{ target, connected: seen?.connected ?? controller.is_connected }];
    });
    return {
      name: row.name,
      datapathId: view?.datapathId ?? row.datapath_id ?? null,
      datapathType: row.datapath_type,
      failMode: view?.failMode ?? row.fail_mode ?? "standalone",
      protocols: [...row.protocols],
      flows: view?.flows ?? null,
      controllers,
      ports: row.ports.flatMap((uuid) =>
        readPort(source, uuid, bonds.filter(({ bridge }) => bridge === row.name))
      ).sort(byName),
    };
  });
  return { bridges: bridges.sort(byName) };
}

export function readBridge(source: HttpSource, name: string): Bridge | undefined {
  return readBridges(source).bridges.find((bridge) => bridge.name === name);
}

function readPort(
  { replica }: HttpSource,
  uuid: string,
  bonds: readonly BondReading[],
): Port[] {
  const row = replica.rows("Port").get(uuid);
  if (!row) return [];
  const interfaces = row.interfaces.flatMap((id): Interface[] => {
    const one = replica.rows("Interface").get(id);
    if (!one) return [];
    return [{
      name: one.name,
      type: one.type,
      ofport: one.ofport ?? null,
      adminState: one.admin_state ?? null,
      linkState: one.link_state ?? null,
      mac: one.mac_in_use ?? null,
      mtu: one.mtu ?? null,
      linkSpeedBps: one.link_speed ?? null,
      error: one.error ?? null,
      options: Object.fromEntries(one.options),
      statistics: Object.fromEntries(one.statistics),
    }];
  });
  const bond = bonds.find(({ port }) => port === row.name);
  return [{
    name: row.name,
    qos: row.qos ?? null,
    bond: bond === undefined
      ? null
      : { mode: bond.mode, lacp: bond.lacp, members: bond.members.map((each) => ({ ...each })) },
    vlanMode: row.vlan_mode ?? null,
    tag: row.tag ?? null,
    trunks: [...row.trunks],
    interfaces: interfaces.sort(byName),
  }];
}

export const listBridges = collection("bridges", {
  tag: "Bridges",
  summary: "All bridges with their ports",
  headers: acceptHeader,
  response: bridgesSchema,
  alsoAnswers: TEXT,
  handle: (call) =>
    wantsText(call) ? { text: outlineOf(call.source) } : { json: readBridges(call.source) },
});

/** The text of `ovs-vsctl show`. */
function outlineOf({ database }: HttpSource): string {
  const shownRow = ({ schema: table }: Table, { uuid, fields }: Row): OutlineRow => ({
    uuid,
    table,
    read: ({ index }) => fields[index] as Datum,
  });
  const resolve = (name: string, uuids: readonly string[]): OutlineRow[] => {
    const table = tableOf(database, name);
    return uuids.flatMap((uuid) => {
      const row = table.rows.get(uuid);
      return row === undefined ? [] : [shownRow(table, row)];
    });
  };
  let text = "";
  const root = tableOf(database, "Open_vSwitch");
  for (const row of root.rows.values()) {
    printOutline(shownRow(root, row), resolve, (line) => text += line);
  }
  return text;
}

export const showBridge = operation({
  tag: "Bridges",
  summary: "One bridge with its ports",
  description: "The ETag is that of the bridge's own configuration.",
  response: bridgeSchema,
  handle({ source, params: { name = "" } }) {
    const bridge = readBridge(source, name);
    if (bridge) {
      const table = tableOf(source.database, "Bridge");
      return {
        json: bridge,
        headers: { etag: entityTag(source.database, table, rowOf(table, name)) },
      };
    }
    throw new HttpProblem(404, `There is no bridge ${JSON.stringify(name)}.`);
  },
});
