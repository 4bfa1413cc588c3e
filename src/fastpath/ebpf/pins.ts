/**
 * What outlives the process: the programs' array and the ports' links are pinned in the bpf file
 * system, and a file says which ports they belong to.
 *
 *     /sys/fs/bpf/solovs-<namespace>-<instance>/programs, ports, port_counts, state, link-<port number>
 *     …/flows_<P>, counts_<P>, masks_<P>, megaflows_<P>, settings_<P>
 *     <run directory>/datapath.json
 *
 * P is the number that the kernel gave the main program that uses these maps. They are pinned before
 * it is put into force, so that whatever is in force can be understood, whenever a process is killed.
 *
 * The directory's name has the network namespace's number and a hash of the run directory, so that two
 * instances do not meet. A namespace that has gone may have left its number to another, where devices
 * of the same names and numbers are others: the file has the namespace's cookie, too. Programs live by
 * the array, maps by the programs.
 *
 * Reference: bpf(2), BPF_OBJ_PIN.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { ensureBpfFs } from "../../linux/bpf-fs.ts";
import type { BpfMap } from "../../linux/bpf-map.ts";
import { openPinned, pinObject } from "../../linux/bpf-syscall.ts";
import { namespaceCookie } from "../../linux/netns.ts";
import { NAMESPACE } from "../userspace/commands.ts";
import type { TunnelTarget } from "./action-plan.ts";

/** Changes when records, slots or `skb->cb` change their meaning (abi.ts): then nothing is adopted. */
const FORMAT = 3;

/** A port whose program is attached. */
export interface PinnedPort {
  readonly portNo: number;
  readonly name: string;
  readonly type: "device" | "internal" | "tunnel";
  readonly ifindex: number;
  readonly kind: "tcx" | "clsact";
  /** Of clsact: the qdisc is ours. */
  readonly ownQdisc: boolean;
  /** Of a tunnel: the device that is ours, and what it was made for. */
  readonly device?: TunnelTarget;
}

export interface PinnedState {
  readonly format: number;
  readonly namespace: string;
  /** Of the namespace (linux/netns.ts), where the kernel tells. */
  readonly cookie?: string | undefined;
  readonly puntDevice: string;
  readonly ports: readonly PinnedPort[];
}

/** Maps that are pinned as long as the datapath lives. */
export type PinnedMap =
  | "programs"
  | "ports"
  | "port_counts"
  | "state"
  | "connections"
  | "connection_records"
  | "connection_counts";
/** Maps of a main program. */
const FLOW_MAPS = ["flows", "counts", "masks", "megaflows", "settings"] as const;
export type FlowMap = (typeof FLOW_MAPS)[number];
export type FlowMaps = Readonly<Record<FlowMap, BpfMap>>;

const linkName = (portNo: number): string => `link-${portNo}`;

export class Pins {
  private constructor(readonly directory: string, private readonly stateFile: string) {}

  /** The pins of the instance with this run directory, or why nothing can be pinned. */
  static of(runDir: string): Pins | string {
    const found = ensureBpfFs();
    if ("problem" in found) return found.problem;
    const namespace = readlinkSync(NAMESPACE).replace(/\D/g, "");
    const instance = createHash("sha256").update(runDir).digest("hex").slice(0, 8);
    return new Pins(
      join(found.path, `solovs-${namespace}-${instance}`),
      join(runDir, "datapath.json"),
    );
  }

  /** What the process before said of itself; undefined if nothing, or of another namespace. */
  read(): PinnedState | undefined {
    if (!existsSync(this.stateFile)) return undefined;
    try {
      const state = JSON.parse(readFileSync(this.stateFile, "utf8")) as PinnedState;
      const isHere = state.namespace === readlinkSync(NAMESPACE) &&
        (state.cookie === undefined || state.cookie === namespaceCookie());
      return isHere && Array.isArray(state.ports) ? state : undefined;
    } catch {
      return undefined;
    }
  }

  /** What it left is still there, and this version understands it. */
  canAdopt(state: PinnedState): boolean {
    return state.format === FORMAT && existsSync(this.path("programs"));
  }

  write(state: Omit<PinnedState, "format" | "namespace" | "cookie">): void {
    const namespace = readlinkSync(NAMESPACE);
    const cookie = namespaceCookie();
    const whole: PinnedState = { format: FORMAT, namespace, cookie, ...state };
    writeFileSync(`${this.stateFile}.new`, `${JSON.stringify(whole, null, 1)}\n`);
    renameSync(`${this.stateFile}.new`, this.stateFile);
  }

  /** What our devices say of themselves (`ip link`, alias), so that nobody else's is taken for one. */
  get alias(): string {
    return basename(this.directory);
  }

  pin(name: PinnedMap, fd: number): void {
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const path = this.path(name);
    // Of a process that ended before all was pinned that belongs together.
    if (existsSync(path)) unlinkSync(path);
    pinObject(fd, path);
  }

  has(name: PinnedMap): boolean {
    return existsSync(this.path(name));
  }

  path(name: PinnedMap): string {
    return join(this.directory, name);
  }

  flowPath(map: FlowMap, programId: number): string {
    return join(this.directory, `${map}_${programId}`);
  }

  pinFlows(programId: number, maps: FlowMaps): void {
    for (const map of FLOW_MAPS) {
      const path = this.flowPath(map, programId);
      // Of a program of this number that has gone.
      if (existsSync(path)) unlinkSync(path);
      pinObject(maps[map].fd, path);
    }
  }

  /** Lets go of the flows of all main programs but this one. */
  unpinOtherFlows(programId: number): void {
    for (const name of readdirSync(this.directory)) {
      const [, map, id] = /^([a-z]+)_(\d+)$/.exec(name) ?? [];
      if (map === undefined || Number(id) === programId) continue;
      unlinkSync(join(this.directory, name));
    }
  }

  /** Lets go of links that no known port has: of one that was being added when a process ended. */
  unpinOtherLinks(ports: readonly PinnedPort[]): void {
    const known = new Set(ports.map(({ portNo }) => linkName(portNo)));
    for (const name of readdirSync(this.directory)) {
      if (name.startsWith("link-") && !known.has(name)) unlinkSync(join(this.directory, name));
    }
  }

  pinLink(portNo: number, fd: number): void {
    this.unpinLink(portNo);
    pinObject(fd, join(this.directory, linkName(portNo)));
  }

  /** A descriptor; throws a SystemError. */
  openLink(portNo: number): number {
    return openPinned(join(this.directory, linkName(portNo)));
  }

  unpinLink(portNo: number): void {
    const path = join(this.directory, linkName(portNo));
    if (existsSync(path)) unlinkSync(path);
  }

  /** Nothing is left: what only the pins held ends with them. */
  removeAll(): void {
    if (existsSync(this.directory)) {
      for (const name of readdirSync(this.directory)) unlinkSync(join(this.directory, name));
      rmdirSync(this.directory);
    }
    if (existsSync(this.stateFile)) unlinkSync(this.stateFile);
  }
}
