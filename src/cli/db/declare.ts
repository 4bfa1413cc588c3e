/** The command line of `solovs db`. */
import type { Command } from "commander";
import { connectionOptions } from "../config/declare.ts";
import { defaultDatabase } from "../options.ts";
import type { ImportOptions } from "./copy-in.ts";
import type { CopyOutOptions } from "./copy-out.ts";
import type { DatabaseOptions } from "./target.ts";

interface Outcome {
  exitCode: number;
}

const target = (command: Command): Command =>
  connectionOptions(command).option(
    "--db <file>",
    "the database file to use when no switch is running",
    defaultDatabase(process.env),
  );

export function declareDb(program: Command, outcome: Outcome): void {
  const db = program
    .command("db")
    .description("the database as a whole: import, export, backup, restore")
    .showHelpAfterError("Run 'solovs db --help' to see the commands.");

  target(db.command("import").description("take over Open vSwitch's configuration: its conf.db"))
    .argument("<file>", "Open vSwitch's database file, or a backup")
    .option("--force", "replace a configuration that is there", false)
    .action(async (file: string, options: ImportOptions) => {
      const { dbImport } = await import("./copy-in.ts");
      outcome.exitCode = await dbImport(file, options);
    });

  target(db.command("export").description("write a database file for stock ovsdb-server"))
    .argument("<file>", "the new file")
    .option("--force", "overwrite a file that is there", false)
    .action(async (file: string, options: CopyOutOptions) => {
      const { dbExport } = await import("./copy-out.ts");
      outcome.exitCode = await dbExport(file, options);
    });

  target(db.command("backup").description("write a copy with its history, while it is in use"))
    .argument("<file>", "the new file")
    .option("--force", "overwrite a file that is there", false)
    .action(async (file: string, options: CopyOutOptions) => {
      const { dbBackup } = await import("./copy-out.ts");
      outcome.exitCode = await dbBackup(file, options);
    });

  target(db.command("restore").description("make the configuration that of a backup or export"))
    .argument("<file>", "a backup, or Open vSwitch's database file")
    .action(async (file: string, options: DatabaseOptions) => {
      const { dbRestore } = await import("./copy-in.ts");
      outcome.exitCode = await dbRestore(file, options);
    });
}
