/** What a process left is removed; what has the same name but is another instance's is not. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Pins } from "../../../src/fastpath/ebpf/pins.ts";
import { openPuntDevice } from "../../../src/fastpath/ebpf/punt-device.ts";
import { sweep } from "../../../src/fastpath/ebpf/sweep.ts";
import { close } from "../../../src/linux/libc.ts";
import { RouteSocket } from "../../../src/linux/rtnetlink.ts";
import { addTunnelDevice } from "../../../src/linux/tunnel-device.ts";
import { type Namespace, Sandbox } from "../../support/netns.ts";
import { describePrivileged } from "../../support/privileged.ts";

const VXLAN = { kind: "vxlan", udpPort: 4789, gbp: false } as const;

describePrivileged("sweeping", [], () => {
  let sandbox: Sandbox;
  let ns: Namespace;
  const runDir = mkdtempSync(join(tmpdir(), "solovs-sweep-"));

  beforeAll(async () => {
    sandbox = await Sandbox.create();
    ns = await sandbox.netns("sweep");
  });
  afterAll(async () => {
    rmSync(runDir, { recursive: true });
    await sandbox.dispose();
  });

  /** The devices that are left of a punt device and a tunnel's which are `alias`'s. */
  function leftOf(alias: (own: string) => string): string[] {
    return ns.inside(() => {
      const pins = Pins.of(runDir);
      if (typeof pins === "string") throw new Error(pins);
      const device = openPuntDevice(alias(pins.alias));
      const route = new RouteSocket();
      try {
        const ifindex = addTunnelDevice(route, VXLAN.kind, "vxlan_sys_4789", VXLAN);
        route.setLink(ifindex, { alias: alias(pins.alias) });
        const port = { portNo: 1, name: "vxlan_sys_4789", type: "tunnel", kind: "tcx" } as const;
        sweep(pins, {
          format: 0,
          namespace: "",
          puntDevice: device.name,
          ports: [{ ...port, ifindex, ownQdisc: false, device: VXLAN }],
        });
        return [device.name, "vxlan_sys_4789"].filter((name) => route.link(name) !== undefined);
      } finally {
        route.close();
        close(device.fd);
      }
    });
  }

  test("what was left in a namespace of the same number that has gone is nobody's", () => {
    ns.inside(() => {
      const pins = Pins.of(runDir);
      if (typeof pins === "string") throw new Error(pins);
      pins.write({ puntDevice: "solovs-punt0", ports: [] });
      const file = join(runDir, "datapath.json");
      expect(pins.read()?.puntDevice).toBe("solovs-punt0");
      const state = JSON.parse(readFileSync(file, "utf8"));
      writeFileSync(file, JSON.stringify({ ...state, cookie: "1234567890123" }));
      expect(pins.read()).toBeUndefined();
      pins.removeAll();
    });
  });

  test("devices of this instance go, those of another stay", () => {
    expect(leftOf((own) => own)).toEqual([]);
    expect(leftOf((own) => `${own}-2`)).toEqual(["solovs-punt0", "vxlan_sys_4789"]);
  });
});
