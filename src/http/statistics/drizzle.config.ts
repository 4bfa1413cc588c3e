import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "sqlite",
  schema: "./src/http/statistics/tables.ts",
  out: "./src/http/statistics/migrations",
});
