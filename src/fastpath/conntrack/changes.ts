/** Changes of the tracker's settings (questions.ts), in force for all later packets. */
import type { CtChange } from "./questions.ts";
import type { Tracker } from "./tracker.ts";

export function applyChange(tracker: Tracker, change: CtChange): void {
  const { admission, tcp, fragments } = tracker;
  switch (change.type) {
    case "maxConnections":
      admission.maxConnections = change.limit;
      return;
    case "sequenceChecks":
      tcp.checks = change.enabled;
      tracker.kernel?.settingsChanged(tracker.nowMs);
      return;
    case "zoneLimit":
      admission.setZoneLimit(change.zone, change.limit);
      return;
    case "timeoutPolicy":
      admission.setPolicy(change.id, change.timeouts);
      tracker.kernel?.settingsChanged(tracker.nowMs);
      return;
    case "fragments":
      fragments.set(change.settings);
      return;
    default: {
      const never: never = change;
      throw new Error(`unknown change ${String(never)}`);
    }
  }
}
