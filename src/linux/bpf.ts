/**
 * bpf(2): loading a program and attaching it at tc ingress, without a compiler or a library.
 *
 * Two ways to attach: a *tcx link* (kernel 6.6 and later), which the kernel removes with the last
 * descriptor, so nothing is left behind even by kill -9; and, before that, a clsact qdisc with a
 * cls_bpf filter over rtnetlink, which stays until it is removed (or replaced by the next run: the
 * filter's priority and name are fixed).
 *
 * An instruction is 8 bytes: opcode u8 · dst:4 src:4 · offset i16 · immediate i32.
 *
 * References: linux/bpf.h (union bpf_attr), RFC 9669 (instruction set), tc-bpf(8).
 */
import { address, close, ERRNO, errno, raw, SYS, SystemError } from "./libc.ts";
import { encodeAttributes, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "./netlink.ts";
import { RouteSocket } from "./rtnetlink.ts";

const BPF_PROG_LOAD = 5;
const BPF_LINK_CREATE = 28;
const BPF_PROG_TYPE_SCHED_CLS = 3;
const BPF_TCX_INGRESS = 46;
const ATTR_BYTES = 128;

function bpf(command: number, attr: Uint8Array, name: string): number {
  const result = raw.syscall(SYS.bpf, command, address(attr), attr.length, 0, 0, 0);
  if (result < 0) throw new SystemError(`bpf(${name})`, errno());
  return result;
}

/** `mov64 r0, 2 (TC_ACT_SHOT); exit`: drops every packet. */
const DROP_ALL = new Uint8Array([0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);

/** Loads a tc program of the given instructions; a descriptor. */
export function loadTcProgram(instructions: Uint8Array, name: string): number {
  const license = new TextEncoder().encode("Apache-2.0\0");
  const attr = new Uint8Array(ATTR_BYTES);
  const v = new DataView(attr.buffer);
  v.setUint32(0, BPF_PROG_TYPE_SCHED_CLS, true);
  v.setUint32(4, instructions.length / 8, true);
  v.setBigUint64(8, BigInt(address(instructions)), true);
  v.setBigUint64(16, BigInt(address(license)), true);
  attr.set(new TextEncoder().encode(name.slice(0, 15)), 48);
  return bpf(BPF_PROG_LOAD, attr, "BPF_PROG_LOAD");
}

/** A program that drops everything it sees; close the descriptor when all attachments are made. */
export function loadDropProgram(): number {
  return loadTcProgram(DROP_ALL, "solovs_drop");
}

/** What was made: plain data, valid in every thread of the process. */
export type TcAttachment =
  /** Closing the link's descriptor detaches. */
  | { readonly kind: "tcx"; readonly fd: number }
  | { readonly kind: "clsact"; readonly ifindex: number; readonly ownQdisc: boolean };

/** Removes an attachment. Safe when the device is gone already. Takes some milliseconds. */
export function detachTc(attachment: TcAttachment): void {
  if (attachment.kind === "tcx") close(attachment.fd);
  else detachClsact(attachment.ifindex, attachment.ownQdisc);
}

/** Attaches at the interface's tc ingress; throws the SystemError of the last way that was tried. */
export function attachTcIngress(programFd: number, ifindex: number): TcAttachment {
  try {
    return attachTcx(programFd, ifindex);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno === ERRNO.ENODEV) throw error;
  }
  return attachClsact(programFd, ifindex);
}

/** As a tcx link. */
export function attachTcx(programFd: number, ifindex: number): TcAttachment {
  const attr = new Uint8Array(ATTR_BYTES);
  const v = new DataView(attr.buffer);
  v.setUint32(0, programFd, true);
  v.setUint32(4, ifindex, true);
  v.setUint32(8, BPF_TCX_INGRESS, true);
  return { kind: "tcx", fd: bpf(BPF_LINK_CREATE, attr, "BPF_LINK_CREATE tcx") };
}

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const TC_H_CLSACT = 0xfffffff1;
const TC_H_CLSACT_INGRESS = 0xfffffff2;
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
const filterHeader = (ifindex: number): Uint8Array => {
  const info = ((FILTER_PRIORITY << 16) | ETH_P_ALL_BE) >>> 0;
  return tcHeader(ifindex, FILTER_HANDLE, TC_H_CLSACT_INGRESS, info);
};

/** As a cls_bpf filter under a clsact qdisc, which is made if there is none. */
export function attachClsact(programFd: number, ifindex: number): TcAttachment {
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
      options: { fd: programFd, name: "solovs_drop", flags: TCA_BPF_FLAG_ACT_DIRECT },
    });
    const replace = NLM_F_CREATE | NLM_F_REPLACE;
    route.request("bpf filter", RTM_NEWTFILTER, replace, filterHeader(ifindex), attributes);
  } catch (error) {
    if (ownQdisc) remove(() => route.request("", RTM_DELQDISC, 0, qdiscHeader(ifindex)));
    throw error;
  } finally {
    route.close();
  }
  return { kind: "clsact", ifindex, ownQdisc };
}

function detachClsact(ifindex: number, ownQdisc: boolean): void {
  const route = new RouteSocket();
  const kind = encodeAttributes(BPF_FILTER, { kind: "bpf" });
  remove(() => route.request("", RTM_DELTFILTER, 0, filterHeader(ifindex), kind));
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
