/** What `ofctl` says about itself: help for people, lists for shell completion, versions. */
import { OVS_VERSION } from "../../version.ts";
import type { InformationAsked } from "../vsctl/options.ts";
import { commandList } from "./commands.ts";
import { ofctlOptions, PROGRAM } from "./options.ts";

export function information(about: InformationAsked["about"]): string {
  switch (about) {
    case "help":
      return help();
    case "commands":
      return commandList();
    case "options":
      return optionList();
    case "version":
      return `${PROGRAM} (Open vSwitch) ${OVS_VERSION}\nOpenFlow versions 0x1:0x6\n`;
    default: {
      const never: never = about;
      return never;
    }
  }
}

function optionList(): string {
  return ofctlOptions.map(({ name, letter, value }) => {
    const argument = value === "required" ? "ARG" : "[ARG]";
    const long = value === "none" ? `--${name}\n` : `--${name}=${argument}\n`;
    return letter === undefined ? long : `${long}-${letter} ${value === "none" ? "" : argument}\n`;
  }).join("");
}

const COMMANDS: readonly (readonly [string, string])[] = [
  ["show SWITCH", "what the switch is, its ports and its configuration"],
  ["dump-desc SWITCH", "who made it"],
  ["dump-tables SWITCH", "statistics of tables"],
  ["dump-table-features SWITCH", "what tables can do (OpenFlow 1.3+)"],
  ["dump-table-desc SWITCH", "how tables are set up (OpenFlow 1.4+)"],
  [
    "mod-port SWITCH PORT ACTION",
    "up, down, [no-]flood, [no-]forward, [no-]receive, [no-]packet-in",
  ],
  [
    "mod-table SWITCH TABLE SETTING",
    "controller, continue, drop (1.1, 1.2); [no]evict, vacancy:LOW,HIGH, novacancy (1.4+); name:NAME (1.3+)",
  ],
  [
    "get-frags, set-frags SWITCH [MODE]",
    "what becomes of fragments: normal, drop, reassemble, nx-match",
  ],
  ["dump-ports SWITCH [PORT]", "statistics of ports"],
  ["dump-ports-desc SWITCH [PORT]", "descriptions of ports"],
  ["dump-flows SWITCH [FLOW]", "flows, all or those that match"],
  ["dump-aggregate SWITCH [FLOW]", "their statistics together"],
  ["queue-stats SWITCH [PORT [QUEUE]]", "statistics of queues"],
  ["queue-get-config SWITCH [PORT [QUEUE]]", "configuration of queues"],
  ["add-flow SWITCH FLOW", "adds a flow"],
  ["add-flows SWITCH FILE", "adds, changes or deletes the flows of a file (- is standard input)"],
  ["mod-flows SWITCH FLOW", "changes the actions of flows that match"],
  ["del-flows SWITCH [FLOW]", "deletes flows that match"],
  ["replace-flows SWITCH FILE", "makes the flows those of a file"],
  ["diff-flows SOURCE1 SOURCE2", "how the flows of two switches or files differ"],
  ["packet-out SWITCH PACKET-OUT", "sends a packet through actions"],
  [
    "monitor SWITCH [MISSLEN] [invalid_ttl] [watch:[...]]",
    "prints what the switch tells a controller",
  ],
  ["snoop SWITCH", "prints what the switch and its controllers say"],
  ["add-group, mod-group SWITCH GROUP", "adds or changes a group"],
  ["add-groups SWITCH FILE", "the groups of a file"],
  ["del-groups SWITCH [GROUP]", "deletes groups"],
  ["insert-buckets, remove-buckets SWITCH GROUP", "changes a group's buckets"],
  ["dump-groups, dump-group-stats SWITCH [GROUP]", "groups; their statistics"],
  ["dump-group-features SWITCH", "what groups can do"],
  ["add-meter, mod-meter SWITCH METER", "adds or changes a meter"],
  ["del-meters SWITCH [METER]", "deletes meters"],
  ["dump-meters, meter-stats SWITCH [METER]", "meters; their statistics"],
  ["meter-features SWITCH", "what meters can do"],
  ["bundle SWITCH FILE", "does what a file says, all of it or nothing"],
  ["add-tlv-map SWITCH MAP", "names tunnel options"],
  ["del-tlv-map SWITCH [MAP]", "takes such names away"],
  ["dump-tlv-map SWITCH", "prints them"],
  ["dump-ipfix-bridge, dump-ipfix-flow SWITCH", "statistics of IPFIX"],
  ["ct-flush-zone SWITCH ZONE", "forgets the connections of a zone"],
  ["ct-flush SWITCH [zone=N] [TUPLE [REPLY-TUPLE]]", "forgets connections"],
  ["probe TARGET", "whether it is up"],
  ["ping TARGET [N]", "how fast it answers echoes of N bytes"],
  ["benchmark TARGET N COUNT", "how many of them a second"],
  ["ofp-parse FILE", "prints the messages of a file"],
  ["ofp-parse-pcap PCAP [PORT...]", "prints the messages of a packet capture"],
];

const OPTIONS: readonly (readonly [string, string])[] = [
  ["-O, --protocols=VERSIONS", "versions of OpenFlow that may be spoken: OpenFlow10,OpenFlow13..."],
  ["-F, --flow-format=FORMATS", "ways of saying flows that may be used"],
  ["-P, --packet-in-format=FORMAT", "standard, nxt_packet_in or nxt_packet_in2"],
  ["--strict", "for commands about flows: match them exactly"],
  ["--bundle", "all changes together or none"],
  ["--readd", "replace-flows: add also what is there already"],
  ["--may-create", "mod-group: add the group if there is none"],
  ["--sort[=FIELD], --rsort[=FIELD]", "dump-flows: in ascending, descending order"],
  ["--names, --no-names", "ports and tables by name, by number"],
  ["--no-stats", "dump-flows: without statistics"],
  ["--color[=WHEN]", "always, never or auto"],
  ["-m, --more", "tell more about messages"],
  ["--timestamp", "monitor, snoop: the time before each message"],
  ["--read-only", "run only commands that change nothing"],
  ["--unixctl=SOCKET", "monitor, snoop: the control socket"],
  ["--detach, --no-chdir, --pidfile[=FILE]", "monitor, snoop: in the background"],
  ["-t, --timeout=SECS", "give up after so many seconds"],
  ["-p, -c, -C FILE", "for ssl: our private key, our certificate, the switch's authority"],
  ["-v, --verbose[=SPEC]", "log more; SPEC: [MODULE:][DESTINATION:]LEVEL"],
  ["--log-file[=FILE]", "log to FILE"],
  ["-h, --help", "print this help"],
  ["-V, --version", "print the version"],
];

function help(): string {
  const rows = (list: readonly (readonly [string, string])[]): string =>
    list.map(([left, right]) =>
      left.length > 38 ? `  ${left}\n${" ".repeat(42)}${right}\n` : `  ${left.padEnd(40)}${right}\n`
    ).join("");
  return `${PROGRAM}: OpenFlow switch management utility\n` +
    `usage: ${PROGRAM} [OPTIONS] COMMAND [ARG...]\n\n` +
    `SWITCH and TARGET: a bridge's name, unix:FILE, tcp:HOST[:PORT] or ssl:HOST[:PORT].\n\n` +
    `Commands:\n${rows(COMMANDS)}\nOptions:\n${rows(OPTIONS)}`;
}
