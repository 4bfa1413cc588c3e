/** A map of texts, a row for each key. */
import { useTexts } from "../core/app.ts";
import { Icon } from "./icons.tsx";

export type Entries = readonly (readonly [key: string, value: string])[];

export interface MapEditorProps {
  readonly label: string;
  readonly entries: Entries;
  readonly onChange: (entries: Entries) => void;
  /** Keys that are known, to choose from. */
  readonly known?: readonly string[];
}

export function MapEditor({ label, entries, onChange, known = [] }: MapEditorProps) {
  const t = useTexts();
  const id = `known-${label.replace(/\W+/g, "-")}`;
  const set = (at: number, entry: readonly [string, string]): void =>
    onChange(entries.map((each, i) => i === at ? entry : each));
  return (
    <fieldset class="map">
      <legend>{label}</legend>
      {entries.map(([key, value], i) => (
        <div class="pair" key={i}>
          <input
            class="mono"
            aria-label={t("{label}: key", { label })}
            placeholder={t("key")}
            spellcheck={false}
            list={known.length > 0 ? id : undefined}
            value={key}
            onInput={(event) => set(i, [event.currentTarget.value, value])}
          />
          <input
            class="mono"
            aria-label={t("{label}: value", { label })}
            placeholder={t("value")}
            spellcheck={false}
            value={value}
            onInput={(event) => set(i, [key, event.currentTarget.value])}
          />
          <button
            type="button"
            class="icon plain"
            aria-label={t("Remove")}
            title={t("Remove")}
            onClick={() => onChange(entries.filter((_, at) => at !== i))}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
      <button type="button" class="small plain" onClick={() => onChange([...entries, ["", ""]])}>
        <Icon name="add" /> {t("Add")}
      </button>
      {known.length > 0 && (
        <datalist id={id}>{known.map((key) => <option key={key} value={key} />)}</datalist>
      )}
    </fieldset>
  );
}

/** The merge patch that makes one map of another. */
export function mapPatch(before: Readonly<Record<string, unknown>>, entries: Entries) {
  const after = new Map(entries.filter(([key]) => key !== ""));
  const gone = Object.keys(before).filter((key) => !after.has(key));
  const set = [...after].filter(([key, value]) => String(before[key] ?? "\0") !== value);
  return Object.fromEntries([...gone.map((key) => [key, null]), ...set]);
}
