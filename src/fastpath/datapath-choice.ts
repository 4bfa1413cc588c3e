/** Where flows may be: what the user can choose (host-datapath.ts acts on it). */

/** `auto`: in the kernel where it allows that. `ebpf`: there, or not at all. */
export const DATAPATH_CHOICES = ["auto", "ebpf", "userspace"] as const;
export type DatapathChoice = (typeof DATAPATH_CHOICES)[number];
