/** `ovs-appctl qos/show` and `qos/show-types`, with Open vSwitch's texts. */
import type { Bridge } from "../bridge/bridge.ts";
import type { BridgePort } from "../bridge/ports.ts";
import { CommandError, type UnixctlServer } from "../unixctl.ts";
import { classDetails } from "./settings.ts";

const BITS = 8;

export function registerQosCommands(
  server: UnixctlServer,
  bridges: () => ReadonlyMap<string, Bridge>,
): void {
  const port = (name: string | undefined): BridgePort => {
    for (const bridge of bridges().values()) {
      const found = bridge.portByName(name ?? "");
      if (found) return found;
    }
    throw new CommandError("no such interface");
  };
  const one = { usage: "interface", minArguments: 1, maxArguments: 1 };
  server.register("qos/show", { ...one, run: ([name]) => showQos(port(name)) });
  server.register("qos/show-types", {
    ...one,
    run: ([name]) => {
      const { name: iface, qos } = port(name);
      const types = qos?.types ?? [];
      if (types.length === 0) return `No QoS types supported for interface: ${iface}\n`;
      return types.map((type) => `QoS type: ${type}\n`).join("");
    },
  });
}

function showQos({ name, qos }: BridgePort): string {
  if (qos?.type === undefined) throw new CommandError(`QoS not configured on ${name}\n`);
  const { type, shape } = qos;
  const lines = [`QoS: ${name} ${type}`];
  if (!shape) return `${lines.join("\n")}\n`;
  lines.push(`max-rate: ${shape.all.maxBytesPerSec * BITS}`);
  const counts = qos.counts();
  for (const [queue, spec] of [...shape.queues].sort(([a], [b]) => a - b)) {
    lines.push("", queue === 0 ? "Default:" : `Queue ${queue}:`);
    for (const [key, value] of classDetails(spec)) lines.push(`  ${key}: ${value}`);
    const sent = counts.get(queue);
    lines.push(
      `  tx_packets: ${sent?.packets ?? 0}`,
      `  tx_bytes: ${sent?.bytes ?? 0}`,
      `  tx_errors: ${sent?.drops ?? 0}`,
    );
  }
  return `${lines.join("\n")}\n`;
}
