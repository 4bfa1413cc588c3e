/** Texts of the page: English as written in the code, Chinese from a table (chinese.ts). */
import { CHINESE } from "./chinese.ts";

export type Language = "en" | "zh";

/** The text in the language chosen; `{name}` is replaced by that parameter. */
export type Translate = (
  text: string,
  parameters?: Readonly<Record<string, string | number>>,
) => string;

export function translator(language: Language): Translate {
  return (text, parameters) => {
    const found = language === "zh" ? CHINESE[text] ?? text : text;
    if (parameters === undefined) return found;
    return found.replace(/\{(\w+)\}/g, (whole, name) => String(parameters[name] ?? whole));
  };
}
