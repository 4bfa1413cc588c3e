/**
 * What the switch does now: one event stream for the whole page, open while the page is seen. A
 * browser opens few connections to one host, so a page that nobody looks at must not hold one.
 */
import type { ReadingJson } from "../../../routes/statistics.ts";
import { Store } from "./store.ts";

export type Reading = ReadingJson;
/** Readings kept for small charts: five minutes. */
const KEPT = 150;

export class Live {
  readonly reading = new Store<Reading | undefined>(undefined);
  /** Oldest first. */
  readonly recent = new Store<readonly Reading[]>([]);
  readonly connected = new Store(false);
  /** Changes when the database does: what was read of it may be old then. */
  readonly transaction = new Store("");
  private source: EventSource | undefined;
  private wanted = false;

  constructor() {
    document.addEventListener("visibilitychange", () => this.follow());
    // Firefox keeps pages in its back-forward cache with their streams cut.
    addEventListener("pageshow", () => this.follow());
  }

  start(): void {
    this.wanted = true;
    this.follow();
  }

  stop(): void {
    this.wanted = false;
    this.follow();
    this.recent.set([]);
    this.reading.set(undefined);
  }

  private follow(): void {
    const open = this.wanted && document.visibilityState === "visible";
    if (!open) {
      this.source?.close();
      this.source = undefined;
      return;
    }
    if (this.source !== undefined && this.source.readyState !== EventSource.CLOSED) return;
    const source = new EventSource("/api/v1/statistics/stream");
    this.source = source;
    source.addEventListener("open", () => this.connected.set(true));
    source.addEventListener("error", () => {
      this.connected.set(false);
      // Refused for good (the session may have ended, or the daemon restarts): tried again later.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.follow(), 3000);
    });
    source.addEventListener("statistics", (event) => {
      const reading = JSON.parse(event.data) as Reading;
      this.connected.set(true);
      this.recent.set([...this.recent.value.slice(-KEPT + 1), reading]);
      this.reading.set(reading);
      this.transaction.set(reading.transaction);
    });
  }
}
