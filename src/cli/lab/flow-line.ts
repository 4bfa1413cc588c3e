/**
 * An OpenFlow flow in one line, laid out as ovs-ofctl does. The lab's flows are the switch's own and
 * those that somebody adds while it starts: match fields are written out, actions by name.
 */
import type { Action } from "../../openflow/actions/types.ts";
import type { FlowStats } from "../../openflow/messages/types.ts";
import { FIELD_LIST } from "../../packet/layout.ts";
import { formatField, formatPort } from "../../packet/text.ts";

function formatAction(action: Action): string {
  if (action.type !== "output") return action.type;
  const port = formatPort(action.port);
  return /^\d+$/.test(port) ? `output:${port}` : port;
}

export function formatFlow(flow: FlowStats): string {
  const { key, mask } = flow.match;
  const fields = FIELD_LIST.flatMap((field) => {
    const bits = mask.getBig(field);
    return bits === 0n ? [] : [`${field.name}=${formatField(field, key.getBig(field), bits)}`];
  });
  const counters = `table=${flow.table}, n_packets=${flow.packets ?? "?"}, ` +
    `n_bytes=${flow.bytes ?? "?"}`;
  const actions = flow.actions.map(formatAction).join(",") || "drop";
  return `${counters}, ${[`priority=${flow.priority}`, ...fields].join(",")} actions=${actions}`;
}
