/**
 * A worker's ports: opening them on the host, closing them, and noticing that a device is gone.
 *
 * Everything made here (sockets, TAP devices, tc programs) lives in descriptors of this process, so
 * it vanishes with it; `close` removes it in order.
 */
import { attachTcIngress, loadDropProgram, type TcAttachment } from "../../linux/bpf.ts";
import { close, ERRNO, ifNameToIndex, SystemError } from "../../linux/libc.ts";
import { PacketSocket } from "../../linux/packet-socket.ts";
import { openTap } from "../../linux/tap.ts";
import { DatapathError } from "../datapath.ts";
import type { Request, WorkerMessage } from "./commands.ts";
import { DevicePort, QUIET_FRAMES } from "./device-port.ts";
import type { Forwarder } from "./forwarder.ts";
import { InternalPort } from "./internal-port.ts";
import { PortCounters, type WorkerPort } from "./port.ts";
import type { SharedState } from "./shared.ts";

type AddPort = Extract<Request, { type: "addPort" }>;

export class WorkerPorts {
  readonly byNumber = new Map<number, WorkerPort>();
  /** The program that drops for the host's stack; undefined until needed, -1 if it cannot load. */
  private dropProgram: number | undefined;

  constructor(
    private readonly shared: SharedState,
    private readonly forwarder: Forwarder,
    private readonly post: (message: WorkerMessage) => void,
  ) {}

  /** Opens a port; throws a DatapathError that says what to do. */
  add(request: AddPort): WorkerPort {
    const { portNo, name } = request;
    const counters = new PortCounters(this.shared, portNo);
    let port: WorkerPort;
    try {
      switch (request.portType) {
        case "internal": {
          const tap = openTap(name, request.mac && new Uint8Array(request.mac));
          port = new InternalPort(portNo, name, tap, this.forwarder, counters);
          break;
        }
        case "device": {
          const ifindex = ifNameToIndex(name);
          if (ifindex === 0) throw new DatapathError("no-device", `there is no device ${name}`);
          const socket = new PacketSocket(ifindex, QUIET_FRAMES);
          const attachment = this.keepFromHost(name, ifindex);
          port = new DevicePort(portNo, name, socket, attachment, this.forwarder, counters);
          break;
        }
        default: {
          const never: never = request.portType;
          throw new DatapathError("not-supported", `unknown port type ${String(never)}`);
        }
      }
    } catch (error) {
      throw error instanceof SystemError ? explain(error, request) : error;
    }
    this.byNumber.set(portNo, port);
    this.forwarder.ports[portNo] = port;
    return port;
  }

  remove(portNo: number): WorkerPort | undefined {
    const port = this.byNumber.get(portNo);
    if (!port) return undefined;
    this.byNumber.delete(portNo);
    this.forwarder.ports[portNo] = undefined;
    port.close();
    return port;
  }

  closeAll(): void {
    for (const portNo of [...this.byNumber.keys()]) this.remove(portNo);
    if (this.dropProgram !== undefined && this.dropProgram >= 0) close(this.dropProgram);
    this.dropProgram = undefined;
  }

  /** Drops the device's frames before the host's stack; without that the host answers them too. */
  private keepFromHost(name: string, ifindex: number): TcAttachment | undefined {
    const warn = (error: unknown): undefined => {
      const text = `${name}: the host's own network stack also sees what arrives on this device, ` +
        `because no tc program can be attached (${
          error instanceof Error ? error.message : String(error)
        }); remove its addresses, or run with CAP_BPF and CAP_NET_ADMIN on Linux 4.5 or later`;
      this.post({ type: "log", level: "warn", text });
      return undefined;
    };
    try {
      this.dropProgram ??= loadDropProgram();
      const attachment = attachTcIngress(this.dropProgram, ifindex);
      this.post({ type: "log", level: "dbg", text: `${name}: attached by ${attachment.kind}` });
      return attachment;
    } catch (error) {
      return warn(error);
    }
  }
}

function explain(error: SystemError, { name, portType }: AddPort): DatapathError {
  const what = `cannot add ${portType} port ${name}: ${error.message}`;
  switch (error.errno) {
    case ERRNO.EPERM:
    case ERRNO.EACCES:
      return new DatapathError("permission", `${what}; run as root or with CAP_NET_ADMIN`);
    case ERRNO.ENODEV:
    case ERRNO.ENXIO:
      return new DatapathError("no-device", what);
    case ERRNO.ENOENT:
      return new DatapathError("not-supported", `${what}; is the tun module loaded?`);
    case ERRNO.EBUSY:
    case ERRNO.EEXIST:
      return new DatapathError("exists", `${what}; a device of that name exists already`);
    default:
      return new DatapathError("system", what);
  }
}
