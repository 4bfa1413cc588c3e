/** What a person prefers: language and colours. Kept in this browser only. */
import { type Language, type Translate, translator } from "./translate.ts";
import { Store } from "./store.ts";

export type Theme = "auto" | "light" | "dark";

function kept<T extends string>(key: string, choices: readonly T[], otherwise: T): T {
  try {
    const value = localStorage.getItem(key) as T | null;
    return value !== null && choices.includes(value) ? value : otherwise;
  } catch {
    // Storage may be forbidden: then it is asked anew each time.
    return otherwise;
  }
}

function keep(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // As above.
  }
}

export class Settings {
  readonly language: Store<Language>;
  readonly theme: Store<Theme>;
  readonly translate: Store<Translate>;

  constructor() {
    const native: Language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
    this.language = new Store(kept<Language>("solovs-language", ["en", "zh"], native));
    this.theme = new Store(kept<Theme>("solovs-theme", ["auto", "light", "dark"], "auto"));
    this.translate = new Store(translator(this.language.value));
    this.apply();
  }

  setLanguage(language: Language): void {
    keep("solovs-language", language);
    this.language.set(language);
    this.translate.set(translator(language));
    this.apply();
  }

  setTheme(theme: Theme): void {
    keep("solovs-theme", theme);
    this.theme.set(theme);
    this.apply();
  }

  private apply(): void {
    const { documentElement: root } = document;
    root.lang = this.language.value === "zh" ? "zh-CN" : "en";
    if (this.theme.value === "auto") delete root.dataset["theme"];
    else root.dataset["theme"] = this.theme.value;
  }
}
