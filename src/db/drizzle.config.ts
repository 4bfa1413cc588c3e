import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "sqlite",
  schema: "./src/db/storage/tables.ts",
  out: "./src/db/migrations",
});
