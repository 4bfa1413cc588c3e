/** `solovs config log`, `show`, `diff` and `rollback`. */
import { type Json, stringify } from "../../db/json.ts";
import { EXIT } from "../exit.ts";
import { type ConnectionOptions, withDaemon } from "./connection.ts";
import { checked, diffReply, logReply, rollbackReply, showReply } from "./replies.ts";
import { changesText, logText, showText } from "./text.ts";

export interface OutputOptions extends ConnectionOptions {
  readonly json: boolean;
}

/** Writes the reply as it is, or as text. */
export function print(options: { readonly json: boolean }, reply: Json, text: () => string): void {
  process.stdout.write(options.json ? `${stringify(reply)}\n` : text());
}

export interface LogOptions extends OutputOptions {
  readonly limit: number;
  readonly before?: number;
}

export const configLog = (options: LogOptions): Promise<number> =>
  withDaemon(options, async (daemon) => {
    const { limit, before } = options;
    const json = await daemon.call("config_log", {
      limit,
      ...(before === undefined ? {} : { before }),
    });
    const { revisions } = checked(logReply, json);
    print(options, json, () => logText(revisions));
    return EXIT.ok;
  });

export const configShow = (revision: number, options: OutputOptions): Promise<number> =>
  withDaemon(options, async (daemon) => {
    const json = await daemon.call("config_show", { revision });
    const shown = checked(showReply, json);
    print(options, json, () => showText(shown));
    return EXIT.ok;
  });

export const configDiff = (
  from: number,
  to: number | undefined,
  options: OutputOptions,
): Promise<number> =>
  withDaemon(options, async (daemon) => {
    const json = await daemon.call("config_diff", { from, ...(to === undefined ? {} : { to }) });
    const difference = checked(diffReply, json);
    print(
      options,
      json,
      () =>
        changesText(difference) ||
        `revisions ${difference.from} and ${difference.to} have the same configuration\n`,
    );
    return EXIT.ok;
  });

export interface RollbackOptions extends OutputOptions {
  readonly comment?: string;
  readonly dryRun: boolean;
}

export const configRollback = (revision: number, options: RollbackOptions): Promise<number> =>
  withDaemon(options, async (daemon) => {
    const json = await daemon.call("config_rollback", {
      revision,
      dry_run: options.dryRun,
      ...(options.comment === undefined ? {} : { comment: options.comment }),
    });
    const done = checked(rollbackReply, json);
    print(options, json, () => {
      const text = changesText(done);
      if (text === "") return `the configuration is that of revision ${revision} already\n`;
      return text +
        (options.dryRun
          ? `\nnothing was changed: without --dry-run, this would be done\n`
          : `\nback to revision ${revision}, by revision ${done.revision ?? done.from}; ` +
            `to undo this: solovs config rollback ${done.from}\n`);
    });
    return EXIT.ok;
  });
