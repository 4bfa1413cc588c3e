import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "sqlite",
  schema: "./src/http/auth/tables.ts",
  out: "./src/http/auth/migrations",
});
