/**
 * The `_Server` database's schema (`_Server(5)`): one row for each database served, by which clients
 * such as Open vSwitch's own IDL learn whether a database is there and which schema it has.
 */
import { boolean, database, integer, one, oneOf, optional, table, text, uuid } from "./declare.ts";

export const serverSchema = database({
  name: "_Server",
  version: "1.2.0",
  cksum: "3009684573 744",
  tables: {
    Database: table({
      name: one(text),
      model: one(oneOf("standalone", "clustered", "relay")),
      connected: one(boolean),
      leader: one(boolean),
      schema: optional(text),
      cid: optional(uuid),
      sid: optional(uuid),
      index: optional(integer),
    }, { isRoot: true }),
  },
});
