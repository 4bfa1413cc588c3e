/**
 * A field for the text of matches and actions: what may stand at the cursor is offered, with a word
 * on what it is. Arrows choose, Enter or Tab takes, Escape closes (WAI-ARIA's combobox pattern).
 */
import { useRef, useState } from "preact/hooks";
import type { Suggestion } from "../core/flow-words.ts";

export interface CompleteProps {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  /** For the text before the cursor: where the word begins, and what it may become. */
  readonly suggest: (before: string) => { start: number; list: readonly Suggestion[] };
  readonly placeholder?: string;
  readonly invalid?: boolean;
  readonly rows?: number;
}

const MOST_SHOWN = 9;
/** The types know of no text area that is one; ARIA does. */
const COMBOBOX = { role: "combobox" } as object;

export function Complete(props: CompleteProps) {
  const { label, value, onChange, suggest, placeholder, invalid = false, rows = 2 } = props;
  const field = useRef<HTMLTextAreaElement>(null);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(0);
  const cursor = field.current?.selectionStart ?? value.length;
  const { start, list } = suggest(value.slice(0, cursor));
  const shown = open ? list.slice(0, MOST_SHOWN) : [];
  const id = `complete-${label.replace(/\W+/g, "-")}`;

  const take = (suggestion: Suggestion): void => {
    const end = field.current?.selectionStart ?? value.length;
    const next = value.slice(0, start) + suggestion.text;
    onChange(next + value.slice(end));
    setAt(0);
    // What can be gone on with offers more at once.
    setOpen(/[=:(]$/.test(suggestion.text));
    requestAnimationFrame(() => {
      field.current?.focus();
      field.current?.setSelectionRange(next.length, next.length);
    });
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && shown.length > 0) {
      event.preventDefault();
      event.stopPropagation();
      return setOpen(false);
    }
    if (event.key === "Enter" && shown.length === 0) {
      // A flow is one line.
      event.preventDefault();
      field.current?.form?.requestSubmit();
      return;
    }
    if (shown.length === 0) return;
    const move = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (move !== 0) {
      event.preventDefault();
      setAt((at + move + shown.length) % shown.length);
    } else if (event.key === "Enter" || event.key === "Tab") {
      const chosen = shown[at];
      if (chosen === undefined) return;
      event.preventDefault();
      take(chosen);
    }
  };
  return (
    <div class="complete">
      <textarea
        ref={field}
        class="mono"
        rows={rows}
        {...COMBOBOX}
        aria-label={label}
        aria-expanded={shown.length > 0}
        aria-controls={id}
        aria-autocomplete="list"
        aria-activedescendant={shown.length > 0 ? `${id}-${at}` : undefined}
        aria-invalid={invalid}
        spellcheck={false}
        autocapitalize="none"
        placeholder={placeholder}
        value={value}
        onKeyDown={key}
        onInput={(event) => {
          onChange(event.currentTarget.value.replaceAll("\n", ""));
          setOpen(true);
          setAt(0);
        }}
        onBlur={() => setOpen(false)}
      />
      <ul class="offers" role="listbox" id={id} hidden={shown.length === 0}>
        {shown.map((suggestion, i) => (
          <li
            key={suggestion.text}
            id={`${id}-${i}`}
            role="option"
            aria-selected={i === at}
            onPointerDown={(event) => {
              // Before the field loses the focus.
              event.preventDefault();
              take(suggestion);
            }}
          >
            <code>{suggestion.text}</code>
            <span class="faint">{suggestion.note}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
