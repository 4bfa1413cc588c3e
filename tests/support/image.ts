/**
 * Container images without a registry: a base made by debootstrap, built upon with buildah in chroot
 * isolation, in a storage of its own that goes with the sandbox.
 *
 * A container here shares the network of whoever starts it, and has exactly the capabilities that it
 * is given. What it cannot show: how Docker's own engine mounts and names things.
 */
import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Background } from "./exec.ts";
import { must, run } from "./exec.ts";
import type { Namespace, Sandbox } from "./netns.ts";
import { ROOT } from "./switch.ts";

export const IMAGE_TOOLS = ["buildah", "debootstrap", "node", "npm"] as const;

/** What buildah leaves a process unless each is dropped by its name. */
const USUAL_CAPABILITIES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "NET_BIND_SERVICE",
  "SYS_CHROOT",
  "SETFCAP",
];

const MINUTES = 60_000;

export interface ImageConfig {
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly StopSignal: string;
}

export interface ContainerOptions {
  readonly capabilities: readonly string[];
  /** Paths of the host, to their paths within. */
  readonly volumes: Readonly<Record<string, string>>;
  readonly devices: readonly string[];
}

export class Images {
  private readonly store: string[];
  private readonly directory: string;

  constructor(sandbox: Sandbox) {
    this.directory = sandbox.tempDir("images");
    this.store = [
      ...["buildah", "--root", join(this.directory, "store")],
      ...["--runroot", join(this.directory, "run"), "--storage-driver", "vfs"],
    ];
    // The storage has read-only directories and mounts that removing files alone would stumble on.
    sandbox.defer(async () => {
      await run([...this.store, "rm", "--all"]);
      await run([...this.store, "rmi", "--all", "--force"]);
    });
  }

  private buildah(words: readonly string[], timeoutMs = MINUTES): Promise<string> {
    return must([...this.store, ...words], { timeoutMs });
  }

  /** A minimal Debian; `nameOfBuild` is the same with this machine's Node.js and npm. */
  async makeBases(name: string, nameOfBuild: string): Promise<void> {
    const root = join(this.directory, "base");
    await must(["debootstrap", "--variant=minbase", "bookworm", root], { timeoutMs: 6 * MINUTES });
    const base = (await this.buildah(["from", "scratch"])).trim();
    await this.buildah(["add", "-q", base, root, "/"]);
    await this.buildah(["commit", "-q", base, name]);
    const build = (await this.buildah(["from", name])).trim();
    const npm = dirname(dirname(realpathSync(Bun.which("npm")!)));
    await this.buildah(["add", "-q", build, realpathSync(Bun.which("node")!), "/usr/local/bin/"]);
    await this.buildah(["add", "-q", build, npm, "/usr/local/lib/node_modules/npm"]);
    const link = "ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && npm --version";
    await this.buildah(["run", "--isolation", "chroot", build, "--", "sh", "-c", link]);
    await this.buildah(["commit", "-q", build, nameOfBuild]);
  }

  /** Builds the project's Dockerfile. The packages of npm that are installed here are lent to it. */
  async build(name: string, args: Readonly<Record<string, string>>): Promise<string> {
    return await this.buildah([
      ...["bud", "--isolation", "chroot", "-t", name, "-f", join(ROOT, "Dockerfile")],
      ...["-v", `${join(ROOT, "node_modules")}:/build/node_modules:ro`],
      ...Object.entries(args).flatMap(([key, value]) => ["--build-arg", `${key}=${value}`]),
      ROOT,
    ], 5 * MINUTES);
  }

  async config(name: string): Promise<ImageConfig> {
    const text = await this.buildah(["inspect", "--type", "image", name]);
    return (JSON.parse(text) as { OCIv1: { config: ImageConfig } }).OCIv1.config;
  }

  /** Bytes of the files that `name` adds to the image below it. */
  async ownBytes(name: string, paths: readonly string[]): Promise<number> {
    const container = (await this.buildah(["from", name])).trim();
    const sizes = await this.buildah([
      ...["run", "--isolation", "chroot", container, "--", "du", "-bcs", ...paths],
    ]);
    await this.buildah(["rm", container]);
    return Number(/^(\d+)\s+total$/m.exec(sizes)?.[1]);
  }

  /** Starts a container of the image as its entry point says, with `words` after it. */
  async start(
    name: string,
    ns: Namespace,
    { capabilities, volumes, devices }: ContainerOptions,
    words?: readonly string[],
  ): Promise<Background> {
    const { Entrypoint, Cmd } = await this.config(name);
    // This buildah's list of system calls forbids bpf() even with CAP_BPF, which Docker's allows.
    const unfiltered = ["--security-opt", "seccomp=unconfined"];
    const container = (await this.buildah(["from", ...unfiltered, name])).trim();
    const mounts = [...Object.entries(volumes), ...devices.map((each) => [each, each] as const)];
    return ns.spawnUnmounted([
      ...[...this.store, "run", "--isolation", "chroot"],
      ...["--cap-drop", USUAL_CAPABILITIES.map((each) => `CAP_${each}`).join(",")],
      ...capabilities.flatMap((each) => ["--cap-add", `CAP_${each}`]),
      ...mounts.flatMap(([outside, within]) => ["-v", `${outside}:${within}`]),
      ...[container, "--", ...Entrypoint, ...(words ?? Cmd)],
    ]);
  }
}
