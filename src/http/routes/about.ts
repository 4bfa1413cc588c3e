/** `/api/v1/about`: versions, the host under the switch, the process, and what the kernel offers. */
import { existsSync, readFileSync } from "node:fs";
import { cpus, freemem, hostname, loadavg, release, totalmem } from "node:os";
import { z } from "zod";
import { operation } from "./route.ts";

const probeSchema = z.object({
  name: z.string(),
  state: z.enum(["yes", "no", "unknown"]),
  because: z.string().describe("How it was found out, and what depends on it."),
});
export type ProbeJson = z.infer<typeof probeSchema>;

export const aboutSchema = z.object({
  version: z.string(),
  ovsVersion: z.string().nullable(),
  runtime: z.string(),
  schema: z.string().describe("The version of the database's schema."),
  host: z.object({
    name: z.string(),
    kernel: z.string(),
    cpus: z.number().int(),
    cpuModel: z.string(),
    load: z.number().describe("Processes that were ready to run, mean of a minute."),
    memory: z.number().describe("Bytes."),
    memoryFree: z.number(),
  }),
  process: z.object({
    pid: z.number().int(),
    uptimeSeconds: z.number(),
    memory: z.number(),
    cpuSeconds: z.number(),
    streams: z.number().int().describe("Event streams that are open."),
  }),
  probes: z.array(probeSchema),
});
export type AboutJson = z.infer<typeof aboutSchema>;

export const showAbout = operation({
  tag: "About",
  summary: "Versions, host, process, and what the kernel offers",
  response: aboutSchema,
  handle({ source }) {
    const [root] = source.replica.rows("Open_vSwitch").values();
    const all = cpus();
    const { user, system } = process.cpuUsage();
    return {
      json: {
        version: source.version,
        ovsVersion: root?.ovs_version ?? null,
        runtime: Bun.version,
        schema: source.database.schema.version,
        host: {
          name: hostname(),
          kernel: release(),
          cpus: all.length,
          cpuModel: all[0]?.model ?? "unknown",
          load: loadavg()[0] ?? 0,
          memory: totalmem(),
          memoryFree: freemem(),
        },
        process: {
          pid: process.pid,
          uptimeSeconds: Math.floor(source.uptimeMs() / 1000),
          memory: process.memoryUsage.rss(),
          cpuSeconds: (user + system) / 1e6,
          streams: source.streams.size,
        },
        probes: probe(),
      },
    };
  },
});

/** Bits of `CapEff` (capabilities(7)). */
const CAP_NET_ADMIN = 12n;
const CAP_NET_RAW = 13n;

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Answers that can be had by looking, without making anything. */
function probe(): ProbeJson[] {
  const status = read("/proc/self/status");
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(status ?? "")?.[1];
  const capabilities = hex === undefined ? undefined : BigInt(`0x${hex}`);
  const capability = (name: string, bit: bigint, use: string): ProbeJson => ({
    name,
    state: capabilities === undefined ? "unknown" : (capabilities >> bit) & 1n ? "yes" : "no",
    because: capabilities === undefined ? "/proc/self/status could not be read" : use,
  });
  const file = (name: string, path: string, use: string): ProbeJson => ({
    name,
    state: existsSync(path) ? "yes" : "no",
    because: `${path}: ${use}`,
  });
  const unprivileged = read("/proc/sys/kernel/unprivileged_bpf_disabled");
  const jit = read("/proc/sys/net/core/bpf_jit_enable");
  return [
    capability("CAP_NET_ADMIN", CAP_NET_ADMIN, "makes and changes network devices"),
    capability("CAP_NET_RAW", CAP_NET_RAW, "opens packet sockets: ports and captures"),
    file("TAP devices", "/dev/net/tun", "internal ports"),
    file("AF_PACKET", "/proc/net/packet", "ports on the host's devices"),
    file("IPv6", "/proc/net/if_inet6", "tunnels and controllers over IPv6"),
    {
      name: "BPF compiler of the kernel",
      state: jit === undefined ? "unknown" : jit === "0" ? "no" : "yes",
      because: jit === undefined
        ? "net.core.bpf_jit_enable is not shown to this process"
        : `net.core.bpf_jit_enable is ${jit}: filters of captures and programs on devices`,
    },
    {
      name: "BPF for everybody",
      state: unprivileged === undefined ? "unknown" : unprivileged === "0" ? "yes" : "no",
      because: unprivileged === undefined
        ? "kernel.unprivileged_bpf_disabled is not shown to this process"
        : `kernel.unprivileged_bpf_disabled is ${unprivileged}; the switch needs it not`,
    },
  ];
}
