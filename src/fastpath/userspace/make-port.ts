/** A worker's end of a port that was opened for it: which class moves its packets. */
import { DatapathError } from "../datapath.ts";
import type { WorkerMessage } from "./commands.ts";
import { DevicePort } from "./device-port.ts";
import type { Forwarder } from "./forwarder.ts";
import { InternalPort } from "./internal-port.ts";
import { LibpcapPort } from "./libpcap-port.ts";
import { PcapPort } from "./pcap-port.ts";
import type { PortCounters, WorkerPort } from "./port.ts";
import { SendingPort } from "./sending-port.ts";
import type { OpenedPort } from "./setup.ts";
import { TunnelPort } from "./tunnel-port.ts";

/** `post` tells the main thread what the port wishes for. */
export function makePort(
  portNo: number,
  name: string,
  opened: OpenedPort,
  forwarder: Forwarder,
  counters: PortCounters,
  post: (message: WorkerMessage) => void,
): WorkerPort {
  switch (opened.type) {
    case "tunnel":
      return new TunnelPort(portNo, name, opened, forwarder, counters);
    case "pcap":
      return new PcapPort(portNo, name, opened.pcap, forwarder, counters, opened.part !== true);
    case "libpcap":
      return new LibpcapPort(portNo, name, opened.pcap, forwarder, counters, opened.part !== true);
    case "internal":
      return new InternalPort(portNo, name, opened.tap, forwarder, counters, opened.part !== true);
    case "device": {
      const { packet } = opened;
      const sendRing = () => post({ type: "portBusy", portNo, ifindex: packet.ifindex });
      const largerRing = () => post({ type: "portCrowded", portNo, packet });
      return packet.fd < 0
        ? new SendingPort(portNo, name, packet, forwarder, counters, sendRing)
        : new DevicePort(portNo, name, packet, forwarder, counters, { sendRing, largerRing });
    }
    case "ring":
      throw new DatapathError("system", "a ring is no port");
    default: {
      const never: never = opened;
      throw new Error(String(never));
    }
  }
}
