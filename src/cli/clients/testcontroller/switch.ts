/** One switch's connection: greets it, sets it up, answers its packet-ins. */
import { decode, encode } from "../../../openflow/codec.ts";
import { OfError } from "../../../openflow/errors.ts";
import type { OfMessage, PortDescription } from "../../../openflow/messages/types.ts";
import { MessageStream } from "../../../openflow/stream.ts";
import { protocolOfVersion, PROTOCOLS } from "../../../openflow/text/protocols.ts";
import { negotiate, OF10, OF13, type OfVersion, PORTS } from "../../../openflow/version.ts";
import type { Logger } from "../../../log/log.ts";
import type { Stream, StreamEvents } from "../../../slowpath/control/streams.ts";
import { Learning, newFlow } from "./learning.ts";
import type { ControllerOptions } from "./options.ts";

/** Bytes of a packet that a switch sends along when it keeps the packet. */
const MISS_SEND_BYTES = 128;
/** A switch that does not read what it is sent is let go. */
const MOST_QUEUED_BYTES = 16 << 20;

export class SwitchConnection {
  private version: OfVersion | undefined;
  private lastXid = 0;
  private readonly queues = new Map<number, number>();
  private readonly learning: Learning;

  constructor(
    private readonly stream: Stream,
    private readonly options: ControllerOptions,
    private readonly log: Logger,
  ) {
    this.learning = new Learning({
      ...options,
      queueOf: (inPort) => this.queues.get(inPort) ?? options.queue,
    });
  }

  /** Hellos; what the switch says comes through the events. */
  start(closed: () => void): StreamEvents {
    const { versions } = this.options;
    const highest = (31 - Math.clz32(versions)) as OfVersion;
    this.stream.write(encode(highest, ++this.lastXid, { type: "hello", versions }));
    const messages = new MessageStream();
    return {
      data: (bytes) => {
        try {
          messages.push(bytes, (message) => this.received(message));
        } catch (error) {
          if (!(error instanceof OfError)) throw error;
          this.log.warn(`${this.stream.peer}: ${error.message}; closing the connection`);
          this.stream.abort("not OpenFlow");
        }
      },
      closed: (why) => {
        this.log.info(`${this.stream.peer}: ${why}`);
        closed();
      },
    };
  }

  private send(message: OfMessage, xid = ++this.lastXid): void {
    if (this.stream.queuedBytes > MOST_QUEUED_BYTES) {
      this.log.warn(`${this.stream.peer}: does not read; closing the connection`);
      this.stream.abort("the switch does not read");
      return;
    }
    this.stream.write(encode(this.version ?? OF10, xid, message));
  }

  private received(bytes: Uint8Array): void {
    const { message, xid } = decode(bytes, { loose: true });
    if (this.version === undefined) {
      if (message.type !== "hello") {
        throw new OfError("OFPBRC_BAD_TYPE", 0, `${message.type} came before the hello`);
      }
      this.greeted(message.versions);
      return;
    }
    switch (message.type) {
      case "echo_request":
        this.send({ type: "echo_reply", data: message.data }, xid);
        return;
      case "features_reply":
        this.ports(message.ports);
        return;
      case "port_desc_reply":
        this.ports(message.ports);
        return;
      case "port_status":
        if (message.reason !== "delete") this.ports([message.description]);
        return;
      case "packet_in":
        if (this.options.mute) return;
        for (const answer of this.learning.answer(message)) this.send(answer);
        return;
      case "error": {
        const { error } = message;
        const name = typeof error === "string" ? error : `${error.type}, ${error.code}`;
        this.log.info(`${this.stream.peer}: received an error: ${name}`);
        return;
      }
      default:
        return;
    }
  }

  private greeted(theirs: number): void {
    const { versions, flows } = this.options;
    this.version = negotiate(versions, theirs);
    if (this.version === undefined) {
      const text = "We have no version of OpenFlow in common.";
      const data = new TextEncoder().encode(text);
      this.send({ type: "error", error: "OFPHFC_INCOMPATIBLE", data });
      this.stream.end();
      return;
    }
    this.log.info(`${this.stream.peer}: connected, OpenFlow 1.${this.version - 1}`);
    this.send({ type: "features_request" });
    this.send({
      type: "set_config",
      fragments: "normal",
      missSendLength: MISS_SEND_BYTES,
    });
    if (this.version >= OF13) {
      this.send({ type: "port_desc_request", port: PORTS.ANY });
      // From OpenFlow 1.3 on, packets that no flow matches are dropped unless a flow says otherwise.
      const port = PORTS.CONTROLLER;
      this.send(newFlow([{ type: "output", port, maxLength: MISS_SEND_BYTES }], 0));
    }
    this.sendFlows(flows);
  }

  private sendFlows(flows: ControllerOptions["flows"]): void {
    const version = this.version!;
    const usable = flows.reduce((set, { protocols }) => set & protocols, PROTOCOLS.ANY as number);
    const nxm = (usable & protocolOfVersion(version)) === 0 && version === OF10;
    if (nxm) this.send({ type: "set_flow_format", format: "nxm" });
    for (const { message } of flows) {
      this.send(nxm ? { ...message, form: "nicira" } : message);
    }
  }

  private ports(ports: readonly PortDescription[]): void {
    for (const { port, name } of ports) {
      const queue = this.options.portQueues.get(name);
      if (queue !== undefined) this.queues.set(port, queue);
    }
  }
}
