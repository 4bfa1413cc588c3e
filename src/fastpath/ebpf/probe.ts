/**
 * What the kernel offers for a datapath in it. Each answer is yes, no, or that it could not be told
 * (without the permission to try, mostly). Nothing is attached anywhere, nothing is left.
 */
import { existsSync, readFileSync } from "node:fs";
import { BpfMap } from "../../linux/bpf-map.ts";
import { loadTcProgram } from "../../linux/bpf-program.ts";
import { findBpfFs } from "../../linux/bpf-fs.ts";
import { attachTcx } from "../../linux/bpf.ts";
import { close, ERRNO, O_RDWR, open, SystemError } from "../../linux/libc.ts";
import { RouteSocket } from "../../linux/rtnetlink.ts";
import {
  tryTunnelDevice,
  TUNNEL_DEVICES,
  type TunnelDeviceKind,
} from "../../linux/tunnel-device.ts";
import { Assembler } from "./assembler.ts";
import { R0, R1, R10 } from "./instructions.ts";
import { tryTunnelMetadata } from "./tunnel-devices.ts";

export interface Probe {
  readonly feature: string;
  readonly answer: "yes" | "no" | "could not tell";
  /** What the kernel said, where it is not a plain yes. */
  readonly because?: string;
  /** Linux has it since then. */
  readonly since: string;
  /** What solovs does without it. */
  readonly without: string;
}

type Try = Pick<Probe, "answer" | "because">;

/** `yes` are errors that only a kernel with the feature gives. */
function attempt(run: () => void, yes: readonly number[] = []): Try {
  try {
    run();
    return { answer: "yes" };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (yes.includes(error.errno)) return { answer: "yes" };
    const denied = error.errno === ERRNO.EPERM || error.errno === ERRNO.EACCES;
    return { answer: denied ? "could not tell" : "no", because: error.message };
  }
}

function createMap(mapped: boolean): void {
  const spec = { kind: "array", name: "probe", keyBytes: 4, valueBytes: 8, maxEntries: 1 } as const;
  BpfMap.create({ ...spec, mapped }).close();
}

function readBatch(): void {
  const spec = { kind: "hash", name: "probe", keyBytes: 4, valueBytes: 4, maxEntries: 1 } as const;
  const map = BpfMap.create(spec);
  try {
    map.entries();
  } finally {
    map.close();
  }
}

/** The kernel's own description of its types has the names of the functions that programs may call. */
function trackingFunctions(): Try {
  const modules = ["vmlinux", "nf_conntrack"].map((name) => `/sys/kernel/btf/${name}`);
  const described = modules.filter((path) => existsSync(path));
  if (described.length === 0) {
    return { answer: "could not tell", because: "the kernel does not describe its types (BTF)" };
  }
  return described.some((path) => readFileSync(path).includes("bpf_skb_ct_lookup"))
    ? { answer: "yes" }
    : { answer: "no", because: "no such function, or nf_conntrack is not loaded" };
}

function withProgram(build: (asm: Assembler) => void, use: (fd: number) => void): void {
  const asm = new Assembler();
  build(asm);
  const fd = loadTcProgram(asm.mov(R0, 0).exit().finish().bytes, "probe");
  try {
    use(fd);
  } finally {
    close(fd);
  }
}

/** The newest that the programs need: what else they need is older. */
function useNewest(asm: Assembler): void {
  asm.store(64, R10, -8, 0).mov(R1, 1).atomic("or", 64, R10, -8, R1).call("ktime_get_coarse_ns");
}

const TUNNEL_NAMES: Readonly<Record<TunnelDeviceKind, string>> = {
  vxlan: "VXLAN",
  geneve: "Geneve",
  gre: "GRE",
};

function probeTunnel(kind: TunnelDeviceKind): Probe {
  const tried = attempt(() => {
    const route = new RouteSocket();
    try {
      tryTunnelDevice(route, kind);
    } finally {
      route.close();
    }
    tryTunnelMetadata();
  });
  const name = TUNNEL_NAMES[kind];
  const feature = `${name} devices whose tunnels programs choose`;
  return { feature, since: "6.0", without: `${name} tunnels go through userspace`, ...tried };
}

/** No interface has this number. */
const NO_INTERFACE = 0x7fff_ffff;

export function probeKernel(): readonly Probe[] {
  const userspace = "flows are in userspace";
  return [
    { feature: "eBPF maps", since: "3.18", without: userspace, ...attempt(() => createMap(false)) },
    {
      feature: "arrays mapped into the process",
      since: "5.5",
      without: userspace,
      ...attempt(() => createMap(true)),
    },
    {
      feature: "tc programs with atomic or and the coarse clock",
      since: "5.12",
      without: userspace,
      ...attempt(() => withProgram(useNewest, () => {})),
    },
    {
      feature: "maps read in batches",
      since: "5.6",
      without: "a restart takes over no flows: each misses once",
      ...attempt(readBatch),
    },
    {
      feature: "tcx links",
      since: "6.6",
      without: "clsact and cls_bpf, which a kill leaves attached",
      ...attempt(
        () => withProgram(() => {}, (fd) => attachTcx(fd, NO_INTERFACE)),
        [ERRNO.ENODEV],
      ),
    },
    {
      feature: "conntrack functions for programs",
      since: "6.1",
      without: "nothing is missed: they are not used",
      ...trackingFunctions(),
    },
    ...(Object.keys(TUNNEL_DEVICES) as TunnelDeviceKind[]).map(probeTunnel),
    {
      feature: "TAP devices",
      since: "2.4",
      without: "no internal ports, and flows are in userspace",
      ...attempt(() => close(open("/dev/net/tun", O_RDWR))),
    },
    {
      feature: "a bpf file system",
      since: "4.4",
      without: "forwarding ends with the process",
      ...(findBpfFs() === undefined
        ? { answer: "no", because: "not mounted; solovs mounts it at /sys/fs/bpf" } as const
        : { answer: "yes" } as const),
    },
  ];
}
