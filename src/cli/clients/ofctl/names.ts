/** Ports' and tables' names, as a switch tells them. */
import { decode } from "../../../openflow/codec.ts";
import type { PortDescription } from "../../../openflow/messages/types.ts";
import type { TableNames, TextNames } from "../../../openflow/text/names.ts";
import { OF13, PORTS } from "../../../openflow/version.ts";
import type { OpenFlowClient } from "../../openflow-client.ts";
import { Fatal } from "../fatal.ts";

/** A name that two have stands for neither. */
class Names implements TableNames {
  private readonly names = new Map<number, string>();
  private readonly numbers = new Map<string, number | undefined>();

  put(number: number, name: string): void {
    const old = this.names.get(number);
    if (old !== undefined) this.numbers.delete(old);
    this.names.set(number, name);
    const twice = this.numbers.has(name) && this.numbers.get(name) !== number;
    this.numbers.set(name, twice ? undefined : number);
  }

  nameOf(number: number): string | undefined {
    const name = this.names.get(number);
    return name !== undefined && this.numbers.get(name) === number ? name : undefined;
  }

  numberOf(name: string): number | undefined {
    return this.numbers.get(name);
  }
}

/** What is the same for every switch that a text may be about. */
export type Unnamed = Pick<TextNames, "tunnelFields" | "odd">;

export const emptyNames = (unnamed: Unnamed): TextNames => ({
  ...unnamed,
  nameOf: () => undefined,
  numberOf: () => undefined,
});

const makeNames = (ports: Names, tables: Names, unnamed: Unnamed): TextNames => ({
  ...unnamed,
  nameOf: (port) => ports.nameOf(port),
  numberOf: (name) => ports.numberOf(name),
  tables,
});

/** All ports of a switch. */
export async function fetchPorts(client: OpenFlowClient): Promise<PortDescription[]> {
  const ports: PortDescription[] = [];
  if (client.version < OF13) {
    const { message } = decode(await client.reply(client.send({ type: "features_request" })), {
      loose: true,
    });
    if (message.type !== "features_reply") {
      throw new Fatal(`${client.name}: received bad features reply`);
    }
    // So many that they did not fit: the list is in another message then.
    if (message.ports.length > 0) return [...message.ports];
  }
  const xid = client.send({ type: "port_desc_request", port: PORTS.ANY });
  for (;;) {
    const { message, more } = decode(await client.reply(xid), { loose: true });
    if (message.type !== "port_desc_reply") return ports;
    ports.push(...message.ports);
    if (!more) return ports;
  }
}

async function fetchTables(client: OpenFlowClient): Promise<Names> {
  const names = new Names();
  const xid = client.version < OF13
    ? client.send({ type: "table_stats_request" })
    : client.send({ type: "table_features_request", tables: [] });
  for (;;) {
    const { message, more } = decode(await client.reply(xid), { loose: true });
    if (message.type !== "table_stats_reply" && message.type !== "table_features_reply") {
      return names;
    }
    for (const { table, name } of message.tables) if (name !== "") names.put(table, name);
    if (!more) return names;
  }
}

export async function fetchNames(
  client: OpenFlowClient,
  unnamed: Unnamed,
): Promise<TextNames> {
  const ports = new Names();
  for (const { port, name } of await fetchPorts(client)) ports.put(port, name);
  return makeNames(ports, await fetchTables(client), unnamed);
}
