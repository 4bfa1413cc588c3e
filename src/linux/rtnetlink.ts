/**
 * rtnetlink: the host's links (network interfaces), read, changed and watched.
 *
 * - `RouteSocket.request` sends one message and returns the answers. It blocks only as long as the
 *   kernel works on it: rtnetlink acts inside sendmsg(2) and the answer is there when that returns.
 * - `watchLinks` subscribes to RTNLGRP_LINK and is called from the event loop as soon as the kernel
 *   tells of a change; the socket sits in the loop's epoll set, so an idle watch costs nothing.
 * - A socket belongs to the network namespace in which its thread was when it was opened.
 *
 * Link messages are declared (`LINK`) with netlink.ts; routes, addresses and tc add their own tables.
 * When the kernel drops events because the reader was late (ENOBUFS), the watch ends: `onLost` is
 * called, and the owner starts a new one and reads everything again. Nothing is silently missed.
 *
 * References: rtnetlink(7), netlink(7), linux/if_link.h.
 */
import {
  bind,
  close,
  ERRNO,
  errno,
  fcntl,
  O_CLOEXEC,
  O_NONBLOCK,
  raw,
  setsockopt,
  socket,
  SystemError,
} from "./libc.ts";
import {
  type Attributes,
  decodeAttributes,
  decodeMessages,
  encodeAttributes,
  encodeMessage,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "./netlink.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_ROUTE = 0;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const RTMGRP_LINK = 1;
const F_DUPFD_CLOEXEC = 1030;

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;

export const IFF_UP = 0x1;
export const IFF_LOOPBACK = 0x8;
export const IFF_RUNNING = 0x40;
export const IFF_LOWER_UP = 0x1_0000;

/** Attributes of a link, `enum IFLA_*`. `data` of `linkInfo` is encoded with the kind's own table. */
export const LINK = {
  address: [1, "bytes"],
  broadcast: [2, "bytes"],
  name: [3, "string"],
  mtu: [4, "u32"],
  link: [5, "u32"],
  master: [10, "u32"],
  txQueueLength: [13, "u32"],
  operState: [16, "u8"],
  linkInfo: [18, { kind: [1, "string"], data: [2, "bytes"] }],
  netNsPid: [19, "u32"],
  alias: [20, "string"],
  stats64: [23, "bytes"],
  families: [26, { inet6: [10, { addressMode: [8, "u8"] }] }],
  netNsFd: [28, "u32"],
  carrier: [33, "u8"],
  gsoMaxSize: [41, "u32"],
  minMtu: [50, "u32"],
  maxMtu: [51, "u32"],
} as const;
export type LinkAttributes = Attributes<typeof LINK>;
/** `families.inet6.addressMode`: the kernel gives the device no address of its own. */
export const IN6_ADDR_GEN_MODE_NONE = 1;

/** `struct ifinfomsg`: family u8 @0 · type u16 @2 · index i32 @4 · flags u32 @8 · change u32 @12. */
export interface LinkHeader {
  readonly ifindex: number;
  /** Bits of IFF_*. */
  readonly flags: number;
}
export type Link = LinkHeader & LinkAttributes;
const LINK_HEADER_BYTES = 16;

export function encodeLinkHeader(ifindex = 0, flags = 0, change = 0): Uint8Array {
  const header = new Uint8Array(LINK_HEADER_BYTES);
  const v = new DataView(header.buffer);
  v.setInt32(4, ifindex, true);
  v.setUint32(8, flags, true);
  v.setUint32(12, change, true);
  return header;
}

/** The body of an RTM_NEWLINK or RTM_DELLINK. */
export function decodeLink(payload: Uint8Array): Link {
  const v = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return {
    ifindex: v.getInt32(4, true),
    flags: v.getUint32(8, true),
    ...decodeAttributes(LINK, payload.subarray(LINK_HEADER_BYTES)),
  };
}

/** `struct nlmsgerr` has the kernel's text behind it when NETLINK_EXT_ACK is on. */
const EXTENDED_ACK = { text: [1, "string"], offset: [2, "u32"] } as const;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

/** Throws what an NLMSG_ERROR says, unless it is an acknowledgement. `call` names the request. */
function checkAck(message: NetlinkMessage, call: string): void {
  const { payload } = message;
  const v = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const error = payload.length >= 4 ? -v.getInt32(0, true) : ERRNO.EPROTO;
  if (error === 0) return;
  let text = "";
  if ((message.flags & NLM_F_ACK_TLVS) !== 0 && payload.length >= 20) {
    const echoed = (message.flags & NLM_F_CAPPED) !== 0 ? 16 : v.getUint32(4, true);
    const tlvs = payload.subarray(Math.min(4 + echoed, payload.length));
    text = decodeAttributes(EXTENDED_ACK, tlvs).text ?? "";
  }
  throw new SystemError(call, error, text);
}

/** An open NETLINK_ROUTE socket for requests. */
export class RouteSocket {
  private readonly fd: number;
  private sequence = 0;
  private buffer = new Uint8Array(64 * 1024);

  constructor() {
    this.fd = socket(AF_NETLINK, SOCK_RAW | O_CLOEXEC, NETLINK_ROUTE);
    setsockopt(this.fd, SOL_NETLINK, NETLINK_EXT_ACK, 1, "NETLINK_EXT_ACK");
    setsockopt(this.fd, SOL_NETLINK, NETLINK_CAP_ACK, 1, "NETLINK_CAP_ACK");
  }

  /**
   * Sends a request and returns the messages that answer it (none for a plain acknowledgement).
   * Throws a SystemError named `call`, with the kernel's own words, if the kernel refuses.
   */
  request(
    call: string,
    type: number,
    flags: number,
    ...parts: readonly Uint8Array[]
  ): NetlinkMessage[] {
    const sequence = ++this.sequence;
    const message = encodeMessage(
      type,
      flags | NLM_F_REQUEST | ((flags & NLM_F_DUMP) === NLM_F_DUMP ? 0 : NLM_F_ACK),
      sequence,
      ...parts,
    );
    if (raw.send(this.fd, message, message.length, 0) < 0) throw new SystemError(call, errno());
    const answers: NetlinkMessage[] = [];
    for (;;) {
      for (const answer of decodeMessages(this.receive(call))) {
        if (answer.sequence !== sequence) continue;
        if (answer.type === NLMSG_DONE) return answers;
        if (answer.type === NLMSG_ERROR) {
          checkAck(answer, call);
          return answers;
        }
        answers.push(answer);
      }
    }
  }

  /** One datagram, copied: answers outlive the buffer. */
  private receive(call: string): Uint8Array {
    for (;;) {
      const length = raw.recv(this.fd, this.buffer, this.buffer.length, 0);
      if (length >= 0) return this.buffer.slice(0, length);
      if (errno() !== ERRNO.EINTR) throw new SystemError(call, errno());
    }
  }

  /** All links of the namespace. */
  links(): Link[] {
    return this.request("RTM_GETLINK", RTM_GETLINK, NLM_F_DUMP, encodeLinkHeader())
      .filter((message) => message.type === RTM_NEWLINK)
      .map((message) => decodeLink(message.payload));
  }

  /** The link of that name or index; undefined if there is none. */
  link(which: string | number): Link | undefined {
    try {
      const [message] = typeof which === "string"
        ? this.request(
          `RTM_GETLINK ${which}`,
          RTM_GETLINK,
          0,
          encodeLinkHeader(),
          encodeAttributes(LINK, { name: which }),
        )
        : this.request(`RTM_GETLINK ${which}`, RTM_GETLINK, 0, encodeLinkHeader(which));
      return message && decodeLink(message.payload);
    } catch (error) {
      if (error instanceof SystemError && error.errno === ERRNO.ENODEV) return undefined;
      throw error;
    }
  }

  /** Changes a link: its attributes, and the IFF_* bits in `change` to those of `flags`. */
  setLink(ifindex: number, attributes: LinkAttributes, flags = 0, change = 0): void {
    this.request(
      `RTM_SETLINK ${ifindex}`,
      RTM_SETLINK,
      0,
      encodeLinkHeader(ifindex, flags, change),
      encodeAttributes(LINK, attributes),
    );
  }

  /** Makes a link of a kind; `data` are the kind's own attributes, encoded. NLM_F_CREATE | EXCL. */
  addLink(attributes: LinkAttributes): void {
    this.request(
      `RTM_NEWLINK ${attributes.name ?? ""}`,
      RTM_NEWLINK,
      0x600,
      encodeLinkHeader(),
      encodeAttributes(LINK, attributes),
    );
  }

  deleteLink(ifindex: number): void {
    this.request(`RTM_DELLINK ${ifindex}`, RTM_DELLINK, 0, encodeLinkHeader(ifindex));
  }

  close(): void {
    close(this.fd);
  }
}

/** Opens a non-blocking socket that receives the multicast `groups` (bits of RTMGRP_*). */
export function openRouteMulticast(groups: number): number {
  const fd = socket(AF_NETLINK, SOCK_RAW | O_CLOEXEC | O_NONBLOCK, NETLINK_ROUTE);
  const sockaddr = new Uint8Array(12);
  const v = new DataView(sockaddr.buffer);
  v.setUint16(0, AF_NETLINK, true);
  v.setUint32(8, groups, true);
  try {
    bind(fd, sockaddr);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** Opens a non-blocking socket on which link events arrive, for a loop with its own poll set. */
export function openLinkEvents(): number {
  return openRouteMulticast(RTMGRP_LINK);
}

export interface RouteWatch {
  close(): void;
}

/**
 * Discards what waits. After a loss the kernel drops further events without telling, until the queue
 * has been empty once; whoever starts a watch reads everything after this anyway.
 */
function drain(events: number): void {
  const scratch = new Uint8Array(65_536);
  for (;;) {
    if (raw.recv(events, scratch, scratch.length, 0) >= 0) continue;
    const number = errno();
    if (number === ERRNO.EAGAIN) return;
    if (number !== ERRNO.ENOBUFS && number !== ERRNO.EINTR) throw new SystemError("recv", number);
  }
}

/**
 * Calls `onLink` for every link that appears, changes (`removed` false) or goes (`removed` true).
 * `onLost` is called once when the stream ends by itself: events were dropped, read all anew.
 * `events` is a socket of `openLinkEvents`; see `watchRoute`.
 */
export function watchLinks(
  events: number,
  onLink: (link: Link, removed: boolean) => void,
  onLost: (reason: string) => void,
): Promise<RouteWatch> {
  return watchRoute(events, ({ type, payload }) => {
    if (type !== RTM_NEWLINK && type !== RTM_DELLINK) return;
    // Bridge ports announce themselves a second time under AF_BRIDGE: not the link's end.
    if (payload[0] === 0) onLink(decodeLink(payload), type === RTM_DELLINK);
  }, onLost);
}

/**
 * Calls `onMessage` for whatever the kernel tells on `events`, a socket of `openRouteMulticast`. The
 * socket stays the caller's: the event loop gets a duplicate and closes that when events were dropped,
 * but a new watch on the same socket stays subscribed, and in the network namespace in which it was
 * opened.
 */
export async function watchRoute(
  events: number,
  onMessage: (message: NetlinkMessage) => void,
  onLost: (reason: string) => void,
): Promise<RouteWatch> {
  drain(events);
  const fd = fcntl(events, F_DUPFD_CLOEXEC);
  let open = true;
  const lose = (reason: string): void => {
    if (!open) return;
    open = false;
    onLost(reason);
  };
  // Bun takes an open descriptor here, though its types name only addresses and paths.
  const options: Bun.FdSocketOptions = {
    fd,
    socket: {
      data(_socket, bytes) {
        if (!open) return;
        for (const message of decodeMessages(bytes)) onMessage(message);
      },
      error(_socket, error) {
        lose(error.message);
      },
      close() {
        lose("the kernel dropped events");
      },
    },
  };
  const watched = await Bun.connect(options as unknown as Bun.UnixSocketOptions);
  watched.unref();
  return {
    close() {
      open = false;
      watched.terminate();
    },
  };
}
