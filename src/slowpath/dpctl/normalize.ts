/**
 * `dpctl/parse-actions` and `dpctl/normalize-actions`: actions as the datapath understands them.
 *
 * Normalized, they say for each form that the packet takes on the way (which tags it has) what
 * happens to it, outputs in the order of their ports, so that different lists that come to the same
 * can be compared.
 */
import type { DpAction } from "../../fastpath/actions.ts";
import { formatDpActions } from "../../fastpath/text/actions-format.ts";
import { parseDpActions } from "../../fastpath/text/actions-parse.ts";
import { formatDpMatch } from "../../fastpath/text/flow-format.ts";
import { parseDpFlow } from "../../fastpath/text/flow-parse.ts";
import { isMplsType } from "../../fastpath/text/headers.ts";
import type { FlowKey } from "../../packet/key.ts";
import { FIELDS } from "../../packet/layout.ts";
import { TextError } from "../../packet/text.ts";
import { setTags, tags } from "../pipeline/tags.ts";
import { dpctlError, type DpctlOptions, ERRORS } from "./request.ts";

const VLAN_PRESENT = 0x1000;

/** Prints each list of actions as it was understood. */
export function parseActionsCommand(args: readonly string[]): string {
  return args.map((text) => {
    try {
      return `${formatDpActions(parseDpActions(text))}\n`;
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      throw dpctlError("odp_actions_from_string", ERRORS.invalid);
    }
  }).join("");
}

/** What happens to one form of the packet. */
interface Form {
  readonly key: FlowKey;
  readonly actions: DpAction[];
}

/** `FLOW ACTIONS [NAME=NUMBER]…`. */
export function normalizeActions(
  { verbose }: DpctlOptions,
  [flowText, actionsText, ...names]: readonly string[],
): string {
  const ports = new Map<string, number>();
  for (const text of names) {
    const found = /^([^=]{1,15})=(\d+)$/.exec(text);
    if (!found) throw dpctlError(`${text}: expected NAME=NUMBER`);
    ports.set(found[1]!, Number(found[2]));
  }
  const portNumber = (name: string): number | undefined => ports.get(name);
  const match = parsed(
    () => parseDpFlow(flowText!, portNumber),
    (text) => `odp_flow_key_from_string (${text})`,
  );
  const key = match.key.clone();
  // Only what was said: flows of a datapath always have a recirculation id.
  const shown = formatDpMatch(match).replace(/^recirc_id\(0\),/, "");
  let output = `input flow: ${shown}\n`;
  const actions = parsed(
    () => parseDpActions(actionsText!, portNumber),
    () => "odp_actions_from_string",
  );
  if (verbose) output += `input actions: ${formatDpActions(actions, { key })}\n`;
  // No newline between them: as Open vSwitch answers.
  for (const form of sorted(formsOf(key, actions))) {
    output += describe(form.key) + formatDpActions(sortOutputs(form.actions), { key: form.key });
  }
  return output;
}

function parsed<T>(body: () => T, wrong: (text: string) => string): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    throw dpctlError(wrong(error.message), ERRORS.invalid);
  }
}

function formsOf(key: FlowKey, actions: readonly DpAction[]): Form[] {
  const forms: Form[] = [];
  for (const action of actions) {
    if (action.type === "pop_vlan") {
      setTags(key, tags(key).slice(1));
      continue;
    }
    if (action.type === "push_vlan") {
      setTags(key, [{ tci: action.tci | VLAN_PRESENT, tpid: action.tpid }, ...tags(key)]);
      continue;
    }
    let form = forms.find((each) => each.key.equals(key));
    if (!form) forms.push(form = { key: key.clone(), actions: [] });
    form.actions.push(action);
  }
  return forms;
}

function sorted(forms: readonly Form[]): Form[] {
  return [...forms].sort((a, b) => a.key.get(FIELDS.vlan_tci) - b.key.get(FIELDS.vlan_tci));
}

/** Outputs next to each other, by port. */
function sortOutputs(actions: readonly DpAction[]): DpAction[] {
  const result: DpAction[] = [];
  let run: Extract<DpAction, { type: "output" }>[] = [];
  const end = (): void => {
    result.push(...run.sort((a, b) => a.port - b.port));
    run = [];
  };
  for (const action of actions) {
    if (action.type === "output") run.push(action);
    else {
      end();
      result.push(action);
    }
  }
  end();
  return result;
}

function describe(key: FlowKey): string {
  const list = tags(key);
  let text = list.map(({ tci, tpid }) => {
    const type = tpid === 0x8100 ? "" : `tpid=0x${tpid.toString(16).padStart(4, "0")},`;
    return `vlan(${type}vid=${tci & 0xfff},pcp=${tci >> 13}): `;
  }).join("");
  if (list.length === 0) text = "no vlan: ";
  if (!isMplsType(key.get(FIELDS.eth_type))) return `${text}no mpls: `;
  const label = key.get(FIELDS.mpls_label);
  const [tc, ttl] = [key.get(FIELDS.mpls_tc), key.get(FIELDS.mpls_ttl)];
  return `${text}mpls(label=${label},tc=${tc},ttl=${ttl}): `;
}
