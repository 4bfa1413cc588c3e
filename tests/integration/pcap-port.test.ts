/** Capture files as ports of the real switch: replayed to a host, recorded from one. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PcapFile } from "../../src/fastpath/pcap-file.ts";
import { readPcap } from "../../src/packet/pcap.ts";
import { eventually } from "../support/eventually.ts";
import { udp } from "../support/frames.ts";
import { addHost, type Host } from "../support/hosts.ts";
import { Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { RawPort } from "../support/raw-port.ts";
import { SolovsSwitch, SWITCH_TOOLS } from "../support/switch.ts";

for (const datapath of ["userspace", "ebpf"] as const) {
  describePrivileged(`pcap ports, ${datapath}`, SWITCH_TOOLS, () => {
    let sandbox: Sandbox;
    let sw: SolovsSwitch;
    let host: Host;
    let raw: RawPort;
    const ends = { srcIp: "10.0.0.9", dstIp: "10.0.0.1", srcMac: "02:00:00:00:00:09" };

    beforeAll(async () => {
      sandbox = await Sandbox.create();
      const ns = await sandbox.netns("sw");
      host = await addHost(sandbox, ns, 1);
      sw = await SolovsSwitch.start(sandbox, ns, datapath);
      await sw.addBridge("br0");
      await sw.clients.vsctl("add-port br0 p1");
      raw = new RawPort(host.ns, host.device);
    }, 60_000);
    afterAll(async () => {
      raw?.close();
      await sw?.stop();
      await sandbox?.dispose();
    }, 30_000);

    test("a file comes in, and what leaves is in another", async () => {
      const frames = [1, 2, 3].map((dstPort) => udp({ ...ends, dstMac: host.mac, dstPort }));
      const file = new PcapFile(join(sw.runDir, "in.pcap"));
      for (const frame of frames) file.write(frame);
      file.close();
      await sw.clients.vsctl(
        "add-port br0 tape -- set interface tape type=pcap options:rx_pcap=in.pcap " +
          "options:tx_pcap=out.pcap options:rx_rate=100",
      );
      const seen: string[] = [];
      await eventually("the frames arrive", () => {
        for (let frame = raw.receive(); frame; frame = raw.receive()) {
          seen.push(Buffer.from(frame).toString("hex"));
        }
        return frames.every((frame) => seen.includes(Buffer.from(frame).toString("hex")));
      }, { timeoutMs: 20_000 });
      const back = udp({ ...ends, srcMac: host.mac, dstMac: "02:00:00:00:00:09" });
      raw.send(back);
      await eventually("it is recorded", () => {
        const recorded = [...readPcap(readFileSync(join(sw.runDir, "out.pcap")))];
        return recorded.some(({ bytes }) => Buffer.compare(bytes, back) === 0);
      }, { timeoutMs: 20_000 });
      const iface = await sw.clients.vsctl("get interface tape link_state error");
      expect(iface.split("\n")).toEqual(["up", "[]"]);
      await sw.clients.tryVsctl("set interface tape options:tx_pcap=/etc/solovs-no");
      await eventually(
        "it says what is wrong",
        async () =>
          (await sw.clients.vsctl("get interface tape error")).includes("is not a file in"),
      );
      await sw.clients.vsctl("del-port br0 tape");
    }, 60_000);
  });
}
