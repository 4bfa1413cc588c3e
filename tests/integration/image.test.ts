/**
 * The container image: the Dockerfile builds, the image is small, and what runs from it with no more
 * than the capabilities that the Dockerfile asks for is a switch that stock clients on the host use.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Clients } from "../support/clients.ts";
import { eventually } from "../support/eventually.ts";
import type { Background } from "../support/exec.ts";
import { addHost, reaches } from "../support/hosts.ts";
import { IMAGE_TOOLS, Images } from "../support/image.ts";
import { type Namespace, Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { ROOT, SWITCH_TOOLS } from "../support/switch.ts";

const IMAGE = "localhost/solovs-under-test";
const MEGABYTE = 1 << 20;

/** What `docker run` in the Dockerfile's head gives: the words after each `--cap-add`. */
function documentedCapabilities(): string[] {
  const text = readFileSync(join(ROOT, "Dockerfile"), "utf8");
  return [...text.matchAll(/--cap-add (\w+)/g)].map((match) => match[1]!);
}

describePrivileged("image", [...SWITCH_TOOLS, ...IMAGE_TOOLS], () => {
  let sandbox: Sandbox;
  let images: Images;
  let ns: Namespace;
  let built: string;
  beforeAll(async () => {
    sandbox = await Sandbox.create();
    ns = await sandbox.netns("sw");
    images = new Images(sandbox);
    await images.makeBases("localhost/base", "localhost/build");
    built = await images.build(IMAGE, {
      BUILD_IMAGE: "localhost/build",
      BASE_IMAGE: "localhost/base",
    });
  }, 900_000);
  afterAll(async () => {
    await sandbox?.dispose();
  }, 120_000);

  test("the Dockerfile builds an image of one executable", async () => {
    expect(built).toContain(`Successfully tagged ${IMAGE}`);
    expect(await images.config(IMAGE)).toMatchObject({
      Entrypoint: ["/usr/local/bin/solovs"],
      Cmd: ["run"],
      StopSignal: "SIGTERM",
    });
    const bytes = await images.ownBytes(IMAGE, ["/usr/local"]);
    expect(bytes).toBeGreaterThan(10 * MEGABYTE);
    expect(bytes).toBeLessThan(160 * MEGABYTE);
  }, 60_000);

  test("without capabilities it says what it needs", async () => {
    const child = await images.start(IMAGE, ns, { capabilities: [], volumes: {}, devices: [] });
    expect(await child.ended(30_000)).not.toBe(0);
    expect(child.log).toContain("the switch needs CAP_NET_ADMIN and CAP_NET_RAW");
  }, 60_000);

  test(
    "with the documented ones it is the host's switch, and stops on the image's signal",
    async () => {
      const capabilities = documentedCapabilities();
      expect(capabilities).toContain("NET_ADMIN");
      const runDir = sandbox.tempDir("image-run");
      const data = sandbox.tempDir("image-data");
      // Chroot isolation makes all below /sys read-only, which Docker does not with a volume there.
      const start = (): Promise<Background> =>
        images.start(IMAGE, ns, {
          capabilities,
          volumes: {
            [runDir]: "/run/openvswitch",
            [data]: "/var/lib/solovs",
            "/sys/fs/bpf": "/sys/fs/bpf",
          },
          devices: ["/dev/net/tun"],
        });
      const child = await start();
      const clients = new Clients(runDir);
      const answers = () =>
        eventually("the container answers", async () => {
          if (child.exitCode !== undefined) throw new Error(child.log);
          return (await clients.tryVsctl("show")).code === 0;
        }, { timeoutMs: 30_000 });
      await answers();
      const hosts = [await addHost(sandbox, ns, 1), await addHost(sandbox, ns, 2)];
      await clients.vsctl(
        "add-br",
        "br0",
        ...hosts.flatMap(({ port }) => ["--", "add-port", "br0", port]),
      );
      expect(await clients.vsctl("show")).not.toContain("error:");
      expect(await ns.link("br0")).toBeDefined();
      expect(child.log).not.toContain("flows are in userspace");
      expect(await reaches(hosts[0]!.ns, hosts[1]!.ip)).toBe(true);

      const pid = Number(readFileSync(join(runDir, "ovs-vswitchd.pid"), "utf8"));
      process.kill(pid, "SIGTERM");
      expect(await child.ended(20_000)).toBe(0);
      const again = await start();
      await eventually("it comes back with its ports", async () => {
        if (again.exitCode !== undefined) throw new Error(again.log);
        const ports = await clients.tryVsctl("list-ports", "br0");
        return ports.stdout === hosts.map(({ port }) => `${port}\n`).join("");
      }, { timeoutMs: 30_000 });
      expect(await reaches(hosts[0]!.ns, hosts[1]!.ip)).toBe(true);
    },
    120_000,
  );
});
