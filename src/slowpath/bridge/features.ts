/**
 * What the datapath can do, as Open vSwitch names it (`ovs-appctl dpif/show-dp-features`). Translation
 * asks here before it uses what not every datapath has; `dpif/set-dp-features` takes features away at
 * run time, so that the ways around them can be tested. Nothing can be had that was not there at
 * the start.
 */

/** Name, title, and what solovs' datapaths have; in Open vSwitch's order. */
const FEATURES = [
  ["masked_set_action", "Masked set action", true],
  ["tnl_push_pop", "Tunnel push pop", true],
  ["ufid", "Ufid", true],
  ["trunc", "Truncate action", true],
  ["clone", "Clone action", true],
  ["sample_nesting", "Sample nesting", 10],
  ["ct_eventmask", "Conntrack eventmask", true],
  ["ct_clear", "Conntrack clear", true],
  ["max_hash_alg", "Max dp_hash algorithm", 1],
  ["check_pkt_len", "Check pkt length action", true],
  ["ct_timeout", "Conntrack timeout policy", true],
  ["explicit_drop_action", "Explicit Drop action", true],
  ["lb_output_action", "Optimized Balance TCP mode", true],
  ["ct_zero_snat", "Conntrack all-zero IP SNAT", true],
  ["add_mpls", "MPLS Label add", true],
  ["max_vlan_headers", "Max VLAN headers", 1],
  ["max_mpls_depth", "Max MPLS depth", 3],
  ["recirc", "Recirc", true],
  ["ct_state", "CT state", true],
  ["ct_zone", "CT zone", true],
  ["ct_mark", "CT mark", true],
  ["ct_label", "CT label", true],
  ["ct_state_nat", "CT state NAT", true],
  ["ct_orig_tuple", "CT orig tuple", true],
  ["ct_orig_tuple6", "CT orig tuple for IPv6", true],
  ["nd_ext", "IPv6 ND Extension", true],
] as const;

type Row = (typeof FEATURES)[number];
/** Features that are there or not. */
export type Feature = Extract<Row, readonly [string, string, true]>[0];
/** Features of which there is so much. */
export type Capacity = Extract<Row, readonly [string, string, number]>[0];

export class DpFeatures {
  private readonly now = new Map<string, boolean | number>(
    FEATURES.map(([name, , value]) => [name, value]),
  );

  /** `changed` is called when what translation may use has changed. */
  constructor(private readonly changed: () => void = () => {}) {}

  on(feature: Feature): boolean {
    return this.now.get(feature) === true;
  }

  number(capacity: Capacity): number {
    return Number(this.now.get(capacity));
  }

  /** What the datapath had at the start, a line a feature. */
  show(): string {
    return FEATURES.map(([, title, value]) => `${title}: ${value === true ? "Yes" : value}\n`)
      .join("");
  }

  /** What `dpif/set-dp-features` answers to a name and a value, to a name alone, or to neither. */
  set(name: string | undefined, value: string | undefined): string {
    const rows = FEATURES.filter(([each]) => name === undefined || each === name);
    const [row] = rows;
    if (row === undefined) return "Unexpected support field";
    if (name !== undefined && value !== undefined) return this.setOne(row, value);
    return rows.map(([each, title, first]) =>
      `${each} (${title}) : [run time]:${this.now.get(each)}, [boot time]:${first}\n`
    ).join("");
  }

  private setOne([name, , first]: Row, text: string): string {
    const value = typeof first === "number" ? wholeNumber(text) : truth(text);
    if (typeof value === "string") return value;
    if (typeof value === "number" && value > Number(first)) {
      return "Can not set value beyond the datapath capability";
    }
    this.now.set(name, value);
    this.changed();
    return "";
  }
}

function wholeNumber(text: string): number | string {
  if (!/^-?\d+$/.test(text)) return "Integer number expected";
  return Number(text) < 0 ? "Negative number not expected" : Number(text);
}

function truth(text: string): boolean | string {
  const word = text.toLowerCase();
  return word === "true" || word === "false" ? word === "true" : "Boolean value expected";
}
