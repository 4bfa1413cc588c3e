/**
 * Flows of a process before, which the kernel goes on forwarding by: each is translated again, over
 * this process's tables, and installed as if its packet had come up, so that when this process's flows
 * are put into force no known flow misses.
 *
 *     inherited flows ──1──> addresses and rules that they teach
 *                     ──2──> translate ──> same mask or a wider one: installed, its counters go on
 *                                      └─> must be told apart further, or cannot be kept: left out
 *
 * - Twice, because where packets go depends on what other flows teach: an address is learned from
 *   flows that were used within the last `USED_MS`, the latest last.
 * - What is left out comes up again as a packet, which is forwarded as any first packet is.
 * - Packets that were counted before are not credited to this process's rules, which did not see
 *   them; those from now on are.
 */
import type { Datapath, InheritedFlow } from "../../fastpath/datapath.ts";
import { FlowKey } from "../../packet/key.ts";
import { DP_KEY_WORDS, FIELDS } from "../../packet/layout.ts";
import { translate, type Translation } from "../pipeline/translate.ts";
import { Scratch } from "../pipeline/xlate.ts";
import { type Megaflows, toPipelineKey } from "./megaflows.ts";
import type { References } from "./references.ts";
import type { Attachment } from "./upcalls.ts";

/** A flow not used for so long is not known any more. */
const USED_MS = 10_000;
/** Flows in one turn. */
const SLICE = 256;

export interface InheritanceOptions {
  readonly datapath: Datapath;
  readonly flows: Megaflows;
  readonly references: References;
  readonly attachment: (dpPort: number, key: FlowKey) => Attachment | undefined;
  readonly defer: (run: () => void) => void;
  /** The clock of `DpFlowStats.lastUsedMs`, and ours. */
  readonly datapathNow: () => number;
  readonly now: () => number;
}

/** How many flows this process has from the one before. */
export async function inheritFlows(options: InheritanceOptions): Promise<number> {
  const { datapath, defer, datapathNow } = options;
  // Of a new flow only the first packet came, which went another way.
  const known = [...datapath.inherited?.() ?? []]
    .filter(({ stats: { lastUsedMs } }) => lastUsedMs === 0 || datapathNow() - lastUsedMs < USED_MS)
    .sort((a, b) => a.stats.lastUsedMs - b.stats.lastUsedMs);
  const heir = new Heir(options);
  let kept = 0;
  let turn = 0;
  for (
    const each of [(flow: InheritedFlow) => heir.teach(flow), (flow: InheritedFlow) => {
      if (heir.install(flow)) kept++;
    }]
  ) {
    for (const flow of known) {
      each(flow);
      if (++turn % SLICE === 0) await new Promise<void>((resolve) => defer(resolve));
    }
  }
  return kept;
}

class Heir {
  private readonly scratch = new Scratch();
  private readonly key = new FlowKey();

  constructor(private readonly options: InheritanceOptions) {}

  /** What its packets teach is known. */
  teach(flow: InheritedFlow): void {
    const translated = flow.stats.lastUsedMs > 0 && this.translate(flow, true);
    if (!translated) return;
    const { translation } = translated;
    const { now, datapathNow, references } = this.options;
    const seenMs = now() - (datapathNow() - flow.stats.lastUsedMs);
    for (const effect of translation.effects) {
      if (effect.type !== "learn") continue;
      const bundle = effect.bridge.ports.get(effect.port)?.bundle;
      // A gratuitous ARP of then says nothing of now.
      if (!bundle || effect.gratuitousArp) continue;
      effect.bridge.macs.learn(effect.vlan, effect.mac, bundle, {
        gratuitousArp: false,
        fromBond: bundle.members.length > 1,
        seenMs,
      });
    }
    references.release(translation);
  }

  /** True if the flow is there. */
  install(flow: InheritedFlow): boolean {
    const translated = this.translate(flow, false);
    if (!translated) return false;
    const { translation, from: { bridge, port } } = translated;
    const { datapath, flows, references } = this.options;
    const { match: { key, mask }, handle } = flow;
    if (flows.find(key) || translation.uncacheable || !fits(translation, mask)) {
      references.release(translation);
      return false;
    }
    const installed = flows.install(
      bridge,
      key.get(FIELDS.in_port),
      port.ofport,
      key,
      translation,
    );
    if (!installed) return false;
    datapath.inherit?.(installed.id, handle);
    const { packets, bytes, tcpFlags } = datapath.flowStats(installed.id);
    Object.assign(installed, { packets, bytes, tcpFlags });
    return true;
  }

  private translate(
    { match: { key: dpKey } }: InheritedFlow,
    learns: boolean,
  ): { readonly translation: Translation; readonly from: Attachment } | undefined {
    const { attachment, references } = this.options;
    const from = attachment(dpKey.get(FIELDS.in_port), dpKey);
    if (!from) return undefined;
    const { key, scratch } = this;
    toPipelineKey(dpKey, from.port.ofport, key);
    const translation = translate({ bridge: from.bridge, key, ...references, scratch, learns });
    return { translation, from };
  }
}

/** The flow's packets need not be told apart further than they were. */
function fits(translation: Translation, mask: FlowKey): boolean {
  for (let i = 0; i < DP_KEY_WORDS; i++) {
    if ((translation.mask.words[i]! & ~mask.words[i]!) !== 0) return false;
  }
  return true;
}
