/**
 * The manual page, solovs(8), made from the declarations of the commands: what `--help` says and the
 * page says is the same, for it is said once. roff as man(7) wants it.
 */
import type { Command, Option } from "commander";
import { OVS_VERSION, SOLOVS_VERSION } from "./version.ts";

/** A text that no line of which roff takes for a request, and whose hyphens stay hyphens. */
const plain = (text: string): string =>
  text.replaceAll("\\", "\\e").replaceAll("-", "\\-")
    .split("\n").map((line) => line.replace(/^([.'])/, "\\&$1")).join("\n");

const bold = (text: string): string => `\\fB${plain(text)}\\fR`;

const EXIT_CODES: readonly (readonly [string, string])[] = [
  ["0", "Done."],
  ["1", "What was asked could not be done; standard error says why and what to do."],
  ["2", "The command line was wrong; nothing was done."],
];

const FILES: readonly (readonly [string, string])[] = [
  ["/var/run/openvswitch/db.sock", "OVSDB, for ovs-vsctl and ovsdb-client."],
  ["/var/run/openvswitch/BRIDGE.mgmt", "OpenFlow, for ovs-ofctl."],
  ["/var/run/openvswitch/http.sock", "The HTTP API without login, for its owner alone."],
  ["/var/lib/solovs/solovs.db", "The configuration, its history, and the users of the HTTP API."],
];

/** The whole page. `date`: as `2026-01-31`. */
export function manualPage(program: Command, date: string): string {
  const lines = [
    `.\\" Made by 'solovs manual'.`,
    `.TH SOLOVS 8 "${date}" "solovs ${SOLOVS_VERSION}" "System administration"`,
    ".SH NAME",
    `solovs \\- ${plain("Open vSwitch in one executable")}`,
    ".SH SYNOPSIS",
    `${bold("solovs")} [\\fICOMMAND\\fR] [\\fIOPTIONS\\fR]`,
    ".SH DESCRIPTION",
    plain(program.description()),
    `It behaves as Open vSwitch ${
      plain(OVS_VERSION)
    } and speaks its protocols on the same sockets.`,
    `Without a command it is ${bold("solovs run")}.`,
    ".SH COMMANDS",
  ];
  for (const command of visible(program)) lines.push(...describe(command, "solovs"));
  lines.push(".SH EXIT STATUS");
  for (const [code, text] of EXIT_CODES) lines.push(".TP", bold(code), plain(text));
  lines.push(".SH FILES");
  for (const [file, text] of FILES) lines.push(".TP", `\\fI${plain(file)}\\fR`, plain(text));
  lines.push(".SH SEE ALSO", "ovs\\-vsctl(8), ovs\\-ofctl(8), ovs\\-appctl(8), ovs\\-fields(7)");
  return `${lines.join("\n")}\n`;
}

const visible = (command: Command): readonly Command[] =>
  command.createHelp().visibleCommands(command).filter((each) => each.name() !== "help");

function describe(command: Command, parents: string): string[] {
  const name = `${parents} ${command.name()}`;
  const words = command.registeredArguments.map((argument) =>
    argument.required ? `\\fI${plain(argument.name())}\\fR` : `[\\fI${plain(argument.name())}\\fR]`
  );
  const lines = [`.SS ${[bold(name), ...words].join(" ")}`, plain(command.description())];
  for (const option of command.createHelp().visibleOptions(command)) {
    if (option.long === "--help") continue;
    lines.push(".TP", bold(option.flags), plain(optionText(option)));
  }
  for (const below of visible(command)) lines.push(...describe(below, name));
  return lines;
}

function optionText({ description, defaultValue }: Option): string {
  const shown = typeof defaultValue === "string" && defaultValue !== "";
  return shown ? `${description} (default: ${defaultValue})` : description;
}
