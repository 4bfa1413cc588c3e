/**
 * solovs: Open vSwitch in one executable. This file only hands the command line to `src/cli`.
 */
import { runCommandLine } from "./src/cli/program.ts";

process.exitCode = await runCommandLine(process.argv0, process.argv.slice(2));
