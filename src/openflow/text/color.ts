/** Flows with colours for terminals, as `ovs-ofctl --color` gives them to matches and statistics. */

const END = "\x1b[0m\x1b[K";
const paint = (code: string, text: string): string => `\x1b[${code}m\x1b[K${text}${END}`;

const COLORS = { actions: "01;31", drop: "34", param: "36", special: "33", value: "32" } as const;
const SPECIAL: ReadonlySet<string> = new Set(["table", "priority"]);
/** Words that are no protocols. */
const FLAGS: ReadonlySet<string> = new Set([
  "send_flow_rem",
  "check_overlap",
  "reset_counts",
  "no_packet_counts",
  "no_byte_counts",
]);

/** A line of `formatFlow`. Actions stay as they are, but for `drop`. */
export function colorFlow(line: string): string {
  const at = line.indexOf("actions=");
  const head = (at < 0 ? line : line.slice(0, at)).replace(
    /([^,= ]+)(=[^, ]*)?(?=[, ])/g,
    (whole, name: string, value: string | undefined) => {
      if (value !== undefined) {
        const color = SPECIAL.has(name) ? COLORS.special : COLORS.param;
        return paint(color, `${name}=`) + value.slice(1);
      }
      return FLAGS.has(name) ? whole : paint(COLORS.value, name);
    },
  );
  if (at < 0) return head;
  const actions = line.slice(at + "actions=".length);
  const told = actions === "drop" ? paint(COLORS.drop, actions) : actions;
  return head + paint(COLORS.actions, "actions=") + told;
}
