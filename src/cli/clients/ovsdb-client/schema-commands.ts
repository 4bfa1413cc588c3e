/** The commands about databases and their schemas. */
import { readFileSync } from "node:fs";
import { equalJson, isObject, type Json, type JsonObject, member } from "../../../db/json.ts";
import { schemaToJson, type TableSchema } from "../../../db/schema/schema.ts";
import { typeToJson } from "../../../db/schema/type.ts";
import { errnoOf, errnoText, Fatal } from "../fatal.ts";
import { nameOrder } from "../hash-order.ts";
import { JsonArgumentError, parseJsonArgument } from "../json-argument.ts";
import { jsonText } from "../json-text.ts";
import { toStdout } from "../output.ts";
import type { Cell } from "../table.ts";
import type { ClientCommand, Connected, Unconnected } from "./command.ts";
import {
  ask,
  beChangeAware,
  databases,
  type FetchedSchema,
  fetchSchema,
  readSchema,
  withServer,
} from "./requests.ts";

async function listDatabases({ session }: Connected): Promise<void> {
  for (const name of await databases(session)) toStdout(`${name}\n`);
}

async function getSchema({ session, database, options }: Connected): Promise<void> {
  const { schema } = await fetchSchema(session, database);
  toStdout(`${jsonText(schemaToJson(schema), options.printer.style.pretty)}\n`);
}

const objectAt = (json: JsonObject, name: string): JsonObject => {
  const value = member(json, name);
  return isObject(value) ? value : {};
};

/** Names of tables in the order in which stock clients print them. */
const tableOrder = ({ json }: FetchedSchema): string[] =>
  nameOrder(nameOrder(Object.keys(objectAt(json, "tables"))));

function columnOrder({ json }: FetchedSchema, { name }: TableSchema): string[] {
  const columns = objectAt(objectAt(objectAt(json, "tables"), name), "columns");
  return nameOrder(["_uuid", "_version", ...nameOrder(Object.keys(columns))]);
}

async function listTables({ session, database, options }: Connected): Promise<void> {
  const fetched = await fetchSchema(session, database);
  const rows = tableOrder(fetched).map((text): Cell[] => [{ text }]);
  toStdout(options.printer.print({ headings: ["Table"], rows }));
}

async function listColumns({ session, database, options, args }: Connected): Promise<void> {
  const [wanted] = args;
  const fetched = await fetchSchema(session, database);
  const rows = tableOrder(fetched).filter((name) => wanted === undefined || name === wanted)
    .flatMap((tableName) => {
      const table = fetched.schema.tables.get(tableName) as TableSchema;
      return columnOrder(fetched, table).map((name): Cell[] => {
        const column = table.columns.get(name);
        return [
          ...(wanted === undefined ? [{ text: tableName }] : []),
          { text: name },
          column === undefined ? undefined : { json: typeToJson(column.type) },
        ];
      });
    });
  const headings = [...(wanted === undefined ? ["Table"] : []), "Column", "Type"];
  toStdout(options.printer.print({ headings, rows }));
}

function readFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const why = errnoText(errnoOf(error) ?? String(error));
    throw new JsonArgumentError(`error opening "${file}": ${why}`);
  }
}

/** A schema in a file. Throws `Fatal`. */
function schemaFromFile(file: string): FetchedSchema {
  let json: Json;
  try {
    json = parseJsonArgument(readFile(file));
  } catch (error) {
    if (!(error instanceof JsonArgumentError)) throw error;
    throw new Fatal(
      `failed to read schema: "${file}" could not be read as JSON (${error.message})`,
    );
  }
  try {
    return readSchema(json);
  } catch (error) {
    if (!(error instanceof Fatal)) throw error;
    throw new Fatal(
      `ovsdb error: failed to parse "${file}" as ovsdb schema (causing error: ${error.message})`,
    );
  }
}

async function convert(command: Unconnected): Promise<void> {
  const { args, options } = command;
  const { schema } = schemaFromFile(args.at(-1) as string);
  await withServer(command, schema.name, async ({ session, remote }) => {
    await beChangeAware(session, remote, options);
    await ask(session, "convert", [schema.name, schemaToJson(schema)]);
  });
}

async function needsConversion(command: Unconnected): Promise<void> {
  const { schema } = schemaFromFile(command.args.at(-1) as string);
  await withServer(command, schema.name, async ({ session }) => {
    const served = await fetchSchema(session, schema.name);
    toStdout(equalJson(schemaToJson(schema), schemaToJson(served.schema)) ? "no\n" : "yes\n");
  });
}

const ofDatabase = { need: "database", min: 0, max: 0, args: "[SERVER] [DATABASE]" } as const;
const ofFile = { need: "nothing", min: 1, max: 2, args: "[SERVER] SCHEMA" } as const;

export const schemaCommands: readonly ClientCommand[] = [
  {
    name: "list-dbs",
    need: "connection",
    min: 0,
    max: 0,
    args: "[SERVER]",
    help: "print the names of the databases",
    run: listDatabases,
  },
  { ...ofDatabase, name: "get-schema", help: "print a database's schema", run: getSchema },
  {
    ...ofDatabase,
    name: "get-schema-version",
    help: "print only its version",
    run: async ({ session, database }: Connected) =>
      toStdout(`${(await fetchSchema(session, database)).schema.version}\n`),
  },
  {
    ...ofDatabase,
    name: "get-schema-cksum",
    help: "print only its checksum",
    run: async ({ session, database }: Connected) =>
      toStdout(`${(await fetchSchema(session, database)).schema.cksum}\n`),
  },
  { ...ofDatabase, name: "list-tables", help: "print the tables", run: listTables },
  {
    ...ofDatabase,
    name: "list-columns",
    max: 1,
    args: "[SERVER] [DATABASE] [TABLE]",
    help: "print the columns of a table or of all",
    run: listColumns,
  },
  { ...ofFile, name: "convert", help: "convert a database to the schema in a file", run: convert },
  {
    ...ofFile,
    name: "needs-conversion",
    help: "tell whether a database has another schema than the file",
    run: needsConversion,
  },
];
