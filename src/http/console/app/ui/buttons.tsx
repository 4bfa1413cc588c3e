/** Buttons and choices that stand in many pages. */
import { useTexts } from "../core/app.ts";
import { Icon } from "./icons.tsx";

export interface RowButtonProps {
  readonly onClick: (event: Event) => void;
  readonly disabled?: boolean;
}

/** Changes what its row is of. */
export function ChangeButton({ onClick, disabled = false }: RowButtonProps) {
  const label = useTexts()("Change");
  return (
    <button
      type="button"
      class="icon small plain"
      title={label}
      aria-label={label}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name="edit" />
    </button>
  );
}

/** Removes what its row is of, or asks whether to. */
export function RemoveButton({ onClick, disabled = false }: RowButtonProps) {
  const label = useTexts()("Remove");
  return (
    <button
      type="button"
      class="icon small plain danger"
      title={label}
      aria-label={label}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name="remove" />
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
