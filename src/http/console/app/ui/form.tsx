/** Fields of forms, and the dialog that forms stand in. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useTexts } from "../core/app.ts";
import { Icon } from "./icons.tsx";

export interface FieldProps {
  readonly name: string;
  readonly hint?: ComponentChildren;
  readonly wrong?: string | undefined;
  /** Takes the whole width of a form of several columns. */
  readonly all?: boolean;
  readonly children: ComponentChildren;
}

export function Field({ name, hint, wrong, all = false, children }: FieldProps) {
  return (
    <div class={`field ${all ? "all" : ""}`}>
      <label>
        <span class="name">{name}</span>
        {children}
      </label>
      {wrong !== undefined && <span class="wrong" role="alert">{wrong}</span>}
      {hint !== undefined && wrong === undefined && <span class="hint">{hint}</span>}
    </div>
  );
}

export interface TextProps extends Omit<FieldProps, "children"> {
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly type?: "text" | "password" | "number";
  readonly mono?: boolean;
  readonly placeholder?: string;
  readonly required?: boolean;
  readonly pattern?: string;
  readonly min?: number;
  readonly max?: number;
  readonly maxLength?: number;
  readonly autocomplete?: string;
  readonly autofocus?: boolean;
}

export function Text(props: TextProps) {
  const { value, onChange, type = "text", mono = false, autofocus = false, ...rest } = props;
  const { name, hint, wrong, all, autocomplete, ...input } = rest;
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (autofocus) field.current?.focus();
  }, []);
  return (
    <Field
      name={name}
      hint={hint}
      {...(wrong !== undefined && { wrong })}
      {...(all !== undefined && { all })}
    >
      <input
        {...(input as object)}
        {...(autocomplete !== undefined && { autocomplete } as object)}
        ref={field}
        type={type as "text"}
        class={mono ? "mono" : ""}
        spellcheck={false}
        autocapitalize="none"
        aria-invalid={wrong !== undefined}
        value={value}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
    </Field>
  );
}

export interface PickProps<T extends string> extends Omit<FieldProps, "children"> {
  readonly value: T;
  readonly choices: readonly (readonly [T, string])[];
  readonly onChange: (value: T) => void;
}

export function Pick<T extends string>({ value, choices, onChange, ...field }: PickProps<T>) {
  return (
    <Field {...field}>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value as T)}>
        {choices.map(([each, text]) => <option key={each} value={each}>{text}</option>)}
      </select>
    </Field>
  );
}

export function Check(
  { label, value, onChange }: {
    readonly label: ComponentChildren;
    readonly value: boolean;
    readonly onChange: (value: boolean) => void;
  },
) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={value}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <span>{label}</span>
    </label>
  );
}

export interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  /** What Enter and the main button do. */
  readonly onSubmit?: () => void;
  readonly submit?: string;
  readonly danger?: boolean;
  readonly busy?: boolean;
  readonly disabled?: boolean;
  readonly wide?: boolean;
  readonly more?: ComponentChildren;
  readonly children: ComponentChildren;
}

/** A modal dialog; the browser keeps the focus inside, and Escape closes it. */
export function Dialog(props: DialogProps) {
  const { title, onClose, onSubmit, submit, danger = false, busy = false, disabled = false } =
    props;
  const t = useTexts();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  const submitted = (event: Event): void => {
    event.preventDefault();
    if (!busy && !disabled) onSubmit?.();
  };
  return (
    <dialog
      ref={dialog}
      class={props.wide === true ? "wide" : ""}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <form onSubmit={submitted}>
        <div class="head">
          <h2>{title}</h2>
          <button
            type="button"
            class="icon plain push"
            title={t("Close")}
            aria-label={t("Close")}
            onClick={onClose}
          >
            <Icon name="close" />
          </button>
        </div>
        <div class="content">{props.children}</div>
        <div class="foot">
          {props.more}
          <span class="push" />
          <button type="button" onClick={onClose}>
            {onSubmit === undefined ? t("Close") : t("Cancel")}
          </button>
          {onSubmit !== undefined && (
            <button
              type="submit"
              class={`primary ${danger ? "danger" : ""}`}
              disabled={busy || disabled}
            >
              {busy ? t("Working…") : submit ?? t("Save")}
            </button>
          )}
        </div>
      </form>
    </dialog>
  );
}
