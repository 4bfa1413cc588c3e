/** What exporters of all bridges share: numbers that tell them apart, and the datapath they sample. */
import type { Datapath } from "../../fastpath/datapath.ts";
import type { FlowCache } from "../cache/flow-cache.ts";
import { lookupsOf } from "../cache/lookups.ts";
import type { DatapathCounts } from "./sflow/counters.ts";

export class SharedExport {
  private exporters = 0;
  private teller: object | undefined;

  constructor(
    private readonly datapath: Datapath,
    private readonly cache: Pick<FlowCache, "counters" | "flows">,
  ) {}

  /** Of IPFIX exporting processes. */
  nextExporter(): number {
    return ++this.exporters;
  }

  /** The datapath's counters, for whoever asked first until it is gone. */
  datapathCounts(asker: object): DatapathCounts | undefined {
    this.teller ??= asker;
    if (this.teller !== asker) return undefined;
    const { hit, missed, lost } = lookupsOf(this.datapath, this.cache);
    // Masks and how many were tried are the datapath's own business.
    return { hits: hit, misses: missed, lost, maskHits: 0, flows: this.cache.flows.size, masks: 0 };
  }

  gone(asker: object): void {
    if (this.teller === asker) this.teller = undefined;
  }
}
