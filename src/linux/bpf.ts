/**
 * Attaching eBPF programs to a network interface's traffic control hooks, and what keeps frames from
 * the host's stack, without a compiler or a library.
 *
 * Two ways to attach: a *tcx link* (kernel 6.6 and later), which the kernel removes with the last
 * descriptor or pin, so nothing is left behind even by kill -9; and, before that, a clsact qdisc with
 * a cls_bpf filter over rtnetlink, which stays until it is removed (or replaced by the next run: the
 * filter's priority and name are fixed).
 *
 * *Ingress* is what the interface receives, *egress* what the host sends through it.
 *
 * References: linux/bpf.h (union bpf_attr), tc-bpf(8). Programs are loaded in bpf-program.ts.
 */
import { loadTcProgram } from "./bpf-program.ts";
import { bpf, BpfAttr } from "./bpf-syscall.ts";
import { close, ERRNO, SystemError } from "./libc.ts";
import { encodeAttributes, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "./netlink.ts";
import { RouteSocket } from "./rtnetlink.ts";

const BPF_TCX_INGRESS = 46;
const BPF_TCX_EGRESS = 47;

/** `mov64 r0, 2 (TC_ACT_SHOT); exit`: drops every packet. */
const DROP_ALL = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);

/** A program that drops everything it sees; close the descriptor when all attachments are made. */
export function loadDropProgram(): number {
  return loadTcProgram(DROP_ALL, "solovs_drop");
}

export type TcDirection = "ingress" | "egress";

/** What was made: plain data, valid in every thread of the process. */
export type TcAttachment =
  /** Closing the link's descriptor detaches. */
  | { readonly kind: "tcx"; readonly fd: number }
  | {
    readonly kind: "clsact";
    readonly ifindex: number;
    readonly ownQdisc: boolean;
    readonly direction: TcDirection;
  };

/** Removes an attachment. Safe when the device is gone already. Takes some milliseconds. */
export function detachTc(attachment: TcAttachment): void {
  if (attachment.kind === "tcx") close(attachment.fd);
  else detachClsact(attachment);
}

/** Attaches at the interface's tc ingress; throws the SystemError of the last way that was tried. */
export function attachTcIngress(programFd: number, ifindex: number): TcAttachment {
  return attachTc(programFd, ifindex, "ingress");
}

/** Attaches at either hook, by a tcx link where the kernel has them and `clsact` is not asked for. */
export function attachTc(
  programFd: number,
  ifindex: number,
  direction: TcDirection,
  clsact = false,
): TcAttachment {
  if (clsact) return attachClsact(programFd, ifindex, direction);
  try {
    return attachTcx(programFd, ifindex, direction);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno === ERRNO.ENODEV) throw error;
  }
  return attachClsact(programFd, ifindex, direction);
}

/** As a tcx link. */
export function attachTcx(
  programFd: number,
  ifindex: number,
  direction: TcDirection = "ingress",
): TcAttachment {
  const type = direction === "ingress" ? BPF_TCX_INGRESS : BPF_TCX_EGRESS;
  const attr = new BpfAttr().u32(0, programFd).u32(4, ifindex).u32(8, type);
  return { kind: "tcx", fd: bpf("LINK_CREATE", attr, `tcx ${direction}`) };
}

/** Puts another program in the place of a tcx link's; packets see the one or the other. */
export function replaceTcx(linkFd: number, programFd: number): void {
  bpf("LINK_UPDATE", new BpfAttr().u32(0, linkFd).u32(4, programFd), "tcx");
}

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const TC_H_CLSACT = 0xfffffff1;
const HOOKS: Readonly<Record<TcDirection, number>> = { ingress: 0xfffffff2, egress: 0xfffffff3 };
const CLSACT_HANDLE = 0xffff0000;
const FILTER_HANDLE = 1;
/** Late in the chain, so that an administrator's own filters still see the packets. */
const FILTER_PRIORITY = 0xc000;
const ETH_P_ALL_BE = 0x0300;
const TCA_BPF_FLAG_ACT_DIRECT = 1;

const QDISC = { kind: [1, "string"] } as const;
const BPF_FILTER = {
  kind: [1, "string"],
  options: [2, { fd: [6, "u32"], name: [7, "string"], flags: [8, "u32"] }],
} as const;

/** struct tcmsg: family u8 @0 · ifindex i32 @4 · handle u32 @8 · parent u32 @12 · info u32 @16 */
function tcHeader(ifindex: number, handle: number, parent: number, info = 0): Uint8Array {
  const header = new Uint8Array(20);
  const v = new DataView(header.buffer);
  v.setInt32(4, ifindex, true);
  v.setUint32(8, handle, true);
  v.setUint32(12, parent, true);
  v.setUint32(16, info, true);
  return header;
}

const qdiscHeader = (ifindex: number): Uint8Array => tcHeader(ifindex, CLSACT_HANDLE, TC_H_CLSACT);
const filterHeader = (ifindex: number, direction: TcDirection): Uint8Array => {
  const info = ((FILTER_PRIORITY << 16) | ETH_P_ALL_BE) >>> 0;
  return tcHeader(ifindex, FILTER_HANDLE, HOOKS[direction], info);
};

/** As a cls_bpf filter under a clsact qdisc, which is made if there is none. */
export function attachClsact(
  programFd: number,
  ifindex: number,
  direction: TcDirection = "ingress",
): TcAttachment {
  const route = new RouteSocket();
  let ownQdisc = true;
  try {
    const kind = encodeAttributes(QDISC, { kind: "clsact" });
    const flags = NLM_F_CREATE | NLM_F_EXCL;
    try {
      route.request("clsact qdisc", RTM_NEWQDISC, flags, qdiscHeader(ifindex), kind);
    } catch (error) {
      if (!(error instanceof SystemError) || error.errno !== ERRNO.EEXIST) throw error;
      ownQdisc = false;
    }
    const attributes = encodeAttributes(BPF_FILTER, {
      kind: "bpf",
      options: { fd: programFd, name: "solovs", flags: TCA_BPF_FLAG_ACT_DIRECT },
    });
    const replace = NLM_F_CREATE | NLM_F_REPLACE;
    const header = filterHeader(ifindex, direction);
    route.request("bpf filter", RTM_NEWTFILTER, replace, header, attributes);
  } catch (error) {
    if (ownQdisc) remove(() => route.request("", RTM_DELQDISC, 0, qdiscHeader(ifindex)));
    throw error;
  } finally {
    route.close();
  }
  return { kind: "clsact", ifindex, ownQdisc, direction };
}

function detachClsact(attachment: TcAttachment & { readonly kind: "clsact" }): void {
  const { ifindex, ownQdisc, direction } = attachment;
  const route = new RouteSocket();
  const kind = encodeAttributes(BPF_FILTER, { kind: "bpf" });
  remove(() => route.request("", RTM_DELTFILTER, 0, filterHeader(ifindex, direction), kind));
  if (ownQdisc) remove(() => route.request("", RTM_DELQDISC, 0, qdiscHeader(ifindex)));
  route.close();
}

/** Removal of something that may have gone with its device. */
function remove(request: () => void): void {
  try {
    request();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
}
