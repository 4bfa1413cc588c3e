/** What the lab prints at its end. */

export interface LabFacts {
  readonly bridge: string;
  readonly runDir: string;
  readonly httpUrl: string | undefined;
  readonly hosts: readonly { readonly name: string; readonly pid: number; readonly ip: string }[];
}

/** `1.2` for 1 234 567 890 bits: Gbit/s with the digits that matter. */
export function gigabits(bytes: number, milliseconds: number): string {
  if (milliseconds <= 0) return "0";
  return (bytes * 8 / milliseconds / 1e6).toPrecision(3);
}

/** Commands that work in another terminal, as they stand. */
export function sampleCommands({ bridge, runDir, httpUrl, hosts }: LabFacts): string {
  const [first, second] = hosts;
  const lines = [
    `  export OVS_RUNDIR=${runDir}`,
    "  ovs-vsctl show",
    `  ovs-ofctl show ${bridge}`,
    `  ovs-ofctl dump-flows ${bridge}`,
    "  ovs-appctl dpctl/dump-flows",
    ...(first && second ? [`  nsenter --net=/proc/${first.pid}/ns/net ping ${second.ip}`] : []),
    `  ovs-ofctl add-flow ${bridge} priority=100,icmp,actions=drop    # and the ping stops`,
    ...(httpUrl === undefined ? [] : [`  curl ${httpUrl}/readyz`]),
  ];
  return lines.join("\n");
}

/** Each line indented, for a block of text from elsewhere. */
export function indent(text: string): string {
  return text.trimEnd().split("\n").map((line) => `    ${line}`).join("\n");
}
