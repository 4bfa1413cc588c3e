/**
 * The order in which Open vSwitch's tools print what they keep in hash tables: rows, tables, columns,
 * commands. It follows from the names or UUIDs and the order in which they came; scripts that read
 * "the first row" see it, so the built-in clients keep to it.
 *
 * A table of 2^k chains; what is added goes to the head of its chain; with more than two entries a
 * chain on average the number of chains grows and all are added anew. Names are hashed with
 * MurmurHash3 (32 bits, seed 0; bytes left over are filled up with zeros to one more word), UUIDs by
 * their first 32 bits.
 */
import type { DatabaseCopy } from "../../db/client/copy.ts";
import type { TableSchema } from "../../db/schema/schema.ts";

interface Entry {
  readonly name: string;
  readonly hash: number;
}

class HashTable {
  private chains: Entry[][] = [[]];
  private readonly names = new Set<string>();

  constructor(private readonly hash: (name: string) => number) {}

  add(name: string): void {
    if (this.names.has(name)) return;
    this.names.add(name);
    insert(this.chains, { name, hash: this.hash(name) });
    const { size } = this.names;
    if (Math.floor(size / 2) >= this.chains.length) this.grow(size);
  }

  private grow(size: number): void {
    let mask = size >> 1;
    for (const shift of [1, 2, 4, 8, 16]) mask |= mask >> shift;
    mask |= (mask & 1) << 1;
    const chains = Array.from({ length: mask + 1 }, (): Entry[] => []);
    // Heads stand last in the arrays: appending is cheap.
    for (const chain of this.chains) {
      for (const entry of chain.toReversed()) insert(chains, entry);
    }
    this.chains = chains;
  }

  order(): string[] {
    return this.chains.flatMap((chain) => chain.toReversed().map(({ name }) => name));
  }
}

function insert(chains: Entry[][], entry: Entry): void {
  chains[(entry.hash & (chains.length - 1)) >>> 0]?.push(entry);
}

const rotate = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits));

export function hashName(name: string): number {
  const bytes = Buffer.from(name);
  let hash = 0;
  for (let at = 0; at < bytes.length; at += 4) {
    let word = 0;
    for (let i = Math.min(4, bytes.length - at) - 1; i >= 0; i--) {
      word = (word << 8) | (bytes[at + i] as number);
    }
    hash ^= Math.imul(rotate(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593);
    hash = (Math.imul(rotate(hash, 13), 5) + 0xe6546b64) | 0;
  }
  hash ^= bytes.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const hashUuid = (uuid: string): number => Number.parseInt(uuid.slice(0, 8), 16);

/** Names in the order in which a hash table shows them that got them in the order given. */
export function nameOrder(names: Iterable<string>): string[] {
  const table = new HashTable(hashName);
  for (const name of names) table.add(name);
  return table.order();
}

/**
 * Puts the rows of a new copy in the order in which Open vSwitch's client library has them. There a
 * row takes its place when it comes or when another refers to it, whichever is first.
 */
export function arrangeRows(copy: DatabaseCopy): void {
  const tables = new Map<string, HashTable>();
  const tableOf = (name: string): HashTable => {
    let table = tables.get(name);
    if (table === undefined) tables.set(name, table = new HashTable(hashUuid));
    return table;
  };
  for (const name of nameOrder(copy.tableNames())) {
    const rows = copy.rows(name);
    const schema = copy.schema.tables.get(name);
    if (schema === undefined) continue;
    const references = referencesOf(schema);
    for (const uuid of nameOrder(rows.keys())) {
      tableOf(name).add(uuid);
      for (const { index, side, refTable } of references) {
        for (const referred of rows.get(uuid)?.fields[index]?.[side] ?? []) {
          tableOf(refTable).add(String(referred));
        }
      }
    }
  }
  for (const [name, table] of tables) copy.arrange(name, table.order());
}

interface Reference {
  readonly index: number;
  readonly side: "keys" | "values";
  readonly refTable: string;
}

/** Columns in order of their names. */
function referencesOf({ columns }: TableSchema): Reference[] {
  return [...columns.keys()].sort().flatMap((name) => {
    const column = columns.get(name);
    const sides = [["keys", column?.type.key], ["values", column?.type.value]] as const;
    return sides.flatMap(([side, base]) =>
      column === undefined || base?.refTable === undefined
        ? []
        : [{ index: column.index, side, refTable: base.refTable }]
    );
  });
}
