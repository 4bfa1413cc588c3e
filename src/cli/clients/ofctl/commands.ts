/** All commands, in the order in which they are listed. */
import { toStdout } from "../output.ts";
import { InformationAsked } from "../vsctl/options.ts";
import { command, MANY, type OfctlCommand } from "./command.ts";
import { diffCommands } from "./diff-commands.ts";
import { flowCommands } from "./flow-commands.ts";
import { groupCommands, meterCommands } from "./group-commands.ts";
import { monitorCommands } from "./monitor-commands.ts";
import { packetCommands } from "./packet-commands.ts";
import { parseCommands } from "./parse-commands.ts";
import { switchCommands } from "./switch-commands.ts";

const help = command("help", undefined, [0, MANY], "ro", () => {
  throw new InformationAsked("help");
});

const list = command("list-commands", undefined, [0, MANY], "ro", () => {
  toStdout(commandList());
  return Promise.resolve();
});

/** As ovs-ofctl lists them. */
const ORDER: readonly string[] = (
  "show monitor snoop dump-desc dump-tables dump-table-features dump-table-desc dump-flows " +
  "dump-aggregate queue-stats queue-get-config add-flow add-flows mod-flows del-flows " +
  "replace-flows diff-flows add-meter mod-meter del-meter del-meters dump-meter dump-meters " +
  "meter-stats meter-features packet-out dump-ports dump-ports-desc mod-port mod-table " +
  "get-frags set-frags probe ping benchmark dump-ipfix-bridge dump-ipfix-flow ct-flush-zone " +
  "ct-flush ofp-parse ofp-parse-pcap add-group add-groups mod-group del-groups " +
  "insert-buckets remove-buckets dump-groups dump-group-stats dump-group-features bundle " +
  "add-tlv-map del-tlv-map dump-tlv-map help list-commands parse-flow parse-flows " +
  "parse-group parse-nx-match parse-nxm parse-oxm parse-actions parse-instructions " +
  "parse-ofp10-match parse-ofp11-match parse-pcap check-vlan print-error encode-error-reply " +
  "ofp-print encode-hello parse-key-value compose-packet parse-packet "
).trim().split(" ");

const declared: readonly OfctlCommand[] = [
  ...switchCommands,
  ...monitorCommands,
  ...flowCommands,
  ...diffCommands,
  ...meterCommands,
  ...groupCommands,
  ...packetCommands,
  ...parseCommands,
  help,
  list,
];

const rank = ({ name }: OfctlCommand): number => ORDER.indexOf(name);
export const ofctlCommands: readonly OfctlCommand[] = [...declared].sort((a, b) =>
  rank(a) - rank(b)
);

/** For people and for completion. */
export function commandList(): string {
  const lines = ofctlCommands.map(({ name, usage = "" }) => `  ${name.padEnd(23)} ${usage}\n`);
  return `The available commands are:\n${lines.join("")}`;
}
