/**
 * Translations for somebody who wants to see them (`ofproto/trace`): nothing is installed and nothing
 * counted. With a packet, the switch learns from it, and what goes to userspace goes there (packet-ins),
 * but the packet leaves by no port.
 */
import type { DpAction } from "../../fastpath/actions.ts";
import type { Datapath } from "../../fastpath/datapath.ts";
import type { Action } from "../../openflow/actions/types.ts";
import type { FlowKey } from "../../packet/key.ts";
import { FIELDS } from "../../packet/layout.ts";
import type { Clock } from "../clock.ts";
import { credit } from "../pipeline/effects.ts";
import type { BridgeModel } from "../pipeline/model.ts";
import type { Tracer } from "../pipeline/tracer.ts";
import { translate, type Translation } from "../pipeline/translate.ts";
import type { References } from "./references.ts";

export interface TracingInput {
  readonly bridge: BridgeModel;
  /** In the pipeline's terms. Not changed. */
  readonly key: FlowKey;
  readonly tracer: Tracer;
  /** A packet-out's, instead of a search from table 0. */
  readonly actions: readonly Action[] | undefined;
  readonly packet: Uint8Array | undefined;
}

export interface TraceResult {
  readonly translation: Translation;
  /** Why the datapath cannot treat such packets alone; by the names that dumps of flows show. */
  readonly slow: readonly string[];
  /** Gives back the numbers that the translation's actions hold. */
  release(): void;
}

export class Tracing {
  constructor(
    private readonly datapath: Datapath,
    private readonly clock: Pick<Clock, "now">,
    private readonly references: References,
  ) {}

  trace({ bridge, key, tracer, actions, packet }: TracingInput): TraceResult {
    const { references } = this;
    const learns = packet !== undefined;
    const packetOut = actions && { packetOut: actions };
    const translation = translate({
      bridge,
      key,
      ...references,
      tracer,
      learns,
      packetLength: packet?.length ?? 0,
      ...packetOut,
    });
    if (packet && translation.error === undefined) this.act(bridge, key, packet, translation);
    const { slow } = translation;
    return { translation, slow, release: () => references.release(translation) };
  }

  private act(
    bridge: BridgeModel,
    key: FlowKey,
    packet: Uint8Array,
    { effects, actions }: Translation,
  ): void {
    const learned = effects.filter(({ type }) => type === "learn" || type === "taught");
    credit(learned, 0, 0, this.clock.now(), 0);
    const pruned = withoutOutputs(actions);
    if (!pruned.some((action) => wantsUserspace(action))) return;
    const dpPort = bridge.ports.get(key.get(FIELDS.in_port))?.dpPort ?? 0;
    this.datapath.execute({ data: packet }, pruned, dpPort);
  }
}

function wantsUserspace(action: DpAction): boolean {
  if (action.type === "userspace") return true;
  return (action.type === "clone" || action.type === "sample") &&
    action.actions.some(wantsUserspace);
}

/** All that does not make the packet leave. */
function withoutOutputs(actions: readonly DpAction[]): DpAction[] {
  return actions.flatMap((action): DpAction[] => {
    switch (action.type) {
      case "clone":
        return [{ ...action, actions: withoutOutputs(action.actions) }];
      case "output":
      case "lb_output":
      case "recirc":
      case "tnl_push":
      case "tnl_pop":
        return [];
      default:
        return [action];
    }
  });
}
