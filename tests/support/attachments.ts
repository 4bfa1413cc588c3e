/** Asks the kernel which tcx programs sit on a device (`bpf(BPF_PROG_QUERY)`). */
import { Libc } from "./libc.ts";

const BPF_PROG_QUERY = 16;
const BPF_TCX_INGRESS = 46;
const BPF_TCX_EGRESS = 47;

/**
 * How many tcx programs are attached to the interface, ingress and egress together. 0 on kernels
 * before 6.6, which have no tcx. Call inside the interface's namespace.
 *
 * union bpf_attr, query part: target_ifindex u32, attach_type u32, query_flags u32, attach_flags
 * u32, prog_ids u64, prog_cnt u32; host byte order.
 */
export function tcxPrograms(ifindex: number): number {
  const libc = new Libc();
  let count = 0;
  for (const type of [BPF_TCX_INGRESS, BPF_TCX_EGRESS]) {
    const attribute = new Uint8Array(64);
    const view = new DataView(attribute.buffer);
    view.setUint32(0, ifindex, true);
    view.setUint32(4, type, true);
    if (libc.bpf(BPF_PROG_QUERY, attribute) === 0) count += view.getUint32(24, true);
  }
  return count;
}
