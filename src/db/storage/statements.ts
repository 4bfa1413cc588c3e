/**
 * Ends a connection's prepared statements. SQLite keeps a file open and locked as long as one of
 * them lives, and one that failed (on a full disk, say) also counts as running; but drizzle makes
 * them out of sight and leaves them to the garbage collector.
 */
import type { Database as Sqlite, Statement } from "bun:sqlite";

/**
 * A drizzle query as a statement of SQLite itself, its values given in the order of its placeholders:
 * for what runs in each transaction, where filling in a query would cost more than running it.
 */
export const bareStatement = (
  sqlite: Sqlite,
  query: { toSQL(): { readonly sql: string } },
): Statement<unknown, SqlValue[]> => sqlite.prepare<unknown, SqlValue[]>(query.toSQL().sql);

type SqlValue = string | number | null;

/** Notes each statement made from now on; call what it returns when none will be used again. */
export function trackStatements(sqlite: Sqlite): () => void {
  let statements: WeakRef<Statement>[] = [];
  let pruneAt = 64;
  const prepare = sqlite.prepare.bind(sqlite);
  sqlite.prepare = ((...args: Parameters<Sqlite["prepare"]>) => {
    const statement = prepare(...args);
    statements.push(new WeakRef(statement as Statement));
    if (statements.length >= pruneAt) {
      statements = statements.filter((reference) => reference.deref() !== undefined);
      pruneAt = Math.max(64, 2 * statements.length);
    }
    return statement;
  }) as Sqlite["prepare"];
  return () => {
    for (const reference of statements) reference.deref()?.finalize();
    statements = [];
  };
}
