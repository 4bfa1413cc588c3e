/** Language and colours. */
import { useApp, useTexts } from "../core/app.ts";
import { useStore } from "../core/store.ts";
import { Choice } from "./parts.tsx";

export function LanguageChoice() {
  const { settings } = useApp();
  const t = useTexts();
  return (
    <Choice
      label={t("Language")}
      value={useStore(settings.language)}
      choices={[["en", "English"], ["zh", "中文"]]}
      onChange={(language) => settings.setLanguage(language)}
    />
  );
}

export function ThemeChoice() {
  const { settings } = useApp();
  const t = useTexts();
  return (
    <Choice
      label={t("Colours")}
      value={useStore(settings.theme)}
      choices={[["auto", t("Auto")], ["light", t("Light")], ["dark", t("Dark")]]}
      onChange={(theme) => settings.setTheme(theme)}
    />
  );
}
