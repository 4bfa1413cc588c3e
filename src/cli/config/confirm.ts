/**
 * `solovs config confirm-within TIME -- COMMAND…`, `confirm`, `cancel` and `status`.
 *
 * The daemon holds the deadline (src/db/history/confirm.ts); this end only opens the window, runs the
 * command and says what will happen. It may be killed, or cut off, at any moment.
 */
import { EXIT } from "../exit.ts";
import { type ConnectionOptions, type DaemonConnection, withDaemon } from "./connection.ts";
import { type OutputOptions, print } from "./history.ts";
import { cancelReply, checked, diffReply, type Status, statusReply } from "./replies.ts";
import { runWords } from "./subprocess.ts";
import { changesText, durationText, timeText } from "./text.ts";

export interface ConfirmWithinOptions extends ConnectionOptions {
  readonly extend: boolean;
  /** True for the first word of a command of this program. */
  readonly isOwnCommand: (word: string) => boolean;
}

const say = (text: string): void => void process.stderr.write(`${text}\n`);

const statusOf = async (daemon: DaemonConnection): Promise<Status> =>
  checked(statusReply, await daemon.call("config_status"));

/** The exit code is the command's. */
export const confirmWithin = (
  seconds: number,
  words: readonly string[],
  options: ConfirmWithinOptions,
): Promise<number> =>
  withDaemon(options, async (daemon) => {
    const opened = checked(
      statusReply,
      await daemon.call("config_confirm_within", { seconds, extend: options.extend }),
    );
    const base = opened.pending ? opened.base : 0;
    const deadlineMs = opened.pending ? opened.deadline_ms : 0;
    say(
      `solovs: unless confirmed within ${durationText(seconds)} (by ${
        timeText(deadlineMs)
      }), the ` +
        `configuration goes back to revision ${base};\n` +
        "whatever is changed until then, by anyone, is taken back.",
    );
    const code = words.length === 0 ? EXIT.ok : await runWords(words, options);
    await report(daemon, words.length > 0, code);
    return code;
  });

/** Says what waits for confirmation. A window in which nothing changed is closed at once. */
async function report(daemon: DaemonConnection, ran: boolean, code: number): Promise<void> {
  const status = await statusOf(daemon);
  if (!status.pending) {
    say(`solovs: ${statusText(status).trimEnd()}`);
    return;
  }
  const { base, newest } = status;
  if (base === newest) {
    if (!ran) return;
    await daemon.call("config_confirm");
    say("solovs: the command changed no configuration: nothing waits for confirmation.");
    return;
  }
  if (code !== 0) say(`solovs: the command failed (exit code ${code}), but changed something:`);
  const difference = checked(diffReply, await daemon.call("config_diff", { from: base }));
  say(`\n${changesText(difference)}`);
  say(`solovs: ${statusText(status).trimEnd()}`);
}

export const configConfirm = (options: OutputOptions): Promise<number> =>
  withDaemon(options, async (daemon) => {
    const json = await daemon.call("config_confirm");
    print(options, json, () => "confirmed: the configuration stays as it is\n");
    return EXIT.ok;
  });

export const configCancel = (options: OutputOptions): Promise<number> =>
  withDaemon(options, async (daemon) => {
    const json = await daemon.call("config_cancel");
    const { base, revision } = checked(cancelReply, json);
    print(
      options,
      json,
      () =>
        revision === null
          ? `cancelled: nothing had changed since revision ${base}\n`
          : `cancelled: back to revision ${base}, by revision ${revision}\n`,
    );
    return EXIT.ok;
  });

export const configStatus = (options: OutputOptions): Promise<number> =>
  withDaemon(options, async (daemon) => {
    const json = await daemon.call("config_status");
    const status = checked(statusReply, json);
    print(options, json, () => statusText(status));
    return EXIT.ok;
  });

export function statusText(status: Status): string {
  if (status.pending) {
    const { base, newest, remaining_ms: remaining, deadline_ms: deadline, problem } = status;
    return `waiting for confirmation: goes back to revision ${base} at ${timeText(deadline)} ` +
      `(in ${durationText(Math.ceil(remaining / 1000))})` +
      `${newest === base ? "; nothing changed yet" : `; now at revision ${newest}`}\n` +
      "keep the changes: solovs config confirm; take them back now: solovs config cancel\n" +
      (problem === undefined ? "" : `going back fails, and is tried again: ${problem}\n`);
  }
  const { last } = status;
  if (last === null) return "nothing waits for confirmation\n";
  const at = timeText(last.endedMs);
  const back = last.revision === null ? "" : `, by revision ${last.revision}`;
  switch (last.state) {
    case "confirmed":
      return `nothing waits for confirmation; the last changes were confirmed at ${at}\n`;
    case "cancelled":
      return `nothing waits for confirmation; the last changes were cancelled at ${at}: back to ` +
        `revision ${last.base}${back}\n`;
    case "expired":
      return `nothing waits for confirmation; the last changes were not confirmed in time: back ` +
        `to revision ${last.base} at ${at}${back}\n`;
    case "failed":
      return `nothing waits for confirmation; going back to revision ${last.base} FAILED at ${at}: ` +
        `${last.problem ?? "unknown reason"}\n`;
    default: {
      const never: never = last.state;
      return never;
    }
  }
}
