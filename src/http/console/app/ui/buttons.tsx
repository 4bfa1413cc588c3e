/** Buttons and choices that stand in many pages. */
import { useTexts } from "../core/app.ts";
import { Icon, type IconName } from "./icons.tsx";

export interface RowButtonProps {
  readonly onClick: (event: Event) => void;
  readonly disabled?: boolean;
}

/** Changes what its row is of. */
export const ChangeButton = (props: RowButtonProps) => (
  <IconButton {...props} icon="edit" label={useTexts()("Change")} />
);

/** Removes what its row is of, or asks whether to. */
export const RemoveButton = (props: RowButtonProps) => (
  <IconButton {...props} icon="remove" label={useTexts()("Remove")} tone="danger" />
);

function IconButton({ onClick, disabled = false, icon, label, tone = "" }: RowButtonProps & {
  readonly icon: IconName;
  readonly label: string;
  readonly tone?: "danger" | "";
}) {
  return (
    <button
      type="button"
      class={`icon small plain ${tone}`.trim()}
      title={label}
      aria-label={label}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}

/** Which bridge a page is of. */
export function BridgeChoice({ names, chosen, onChoose }: {
  readonly names: readonly string[];
  readonly chosen: string;
  readonly onChoose: (name: string) => void;
}) {
  const t = useTexts();
  return (
    <select
      class="auto"
      aria-label={t("Bridge")}
      value={chosen}
      onChange={(event) => onChoose(event.currentTarget.value)}
    >
      {names.map((name) => <option key={name} value={name}>{name}</option>)}
    </select>
  );
}
