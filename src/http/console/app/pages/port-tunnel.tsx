/** A tunnel's type and options, as fields of a form. */
import { useTexts } from "../core/app.ts";
import { KEYS } from "../core/columns.ts";
import { type TunnelChoice, TUNNELS } from "../core/port-columns.ts";
import { Pick, Text } from "../ui/form.tsx";
import { MapEditor } from "../ui/map-editor.tsx";

export function TunnelFields(
  { value, onChange }: {
    readonly value: TunnelChoice;
    readonly onChange: (value: TunnelChoice) => void;
  },
) {
  const t = useTexts();
  return (
    <>
      <div class="fields">
        <Pick
          name={t("Encapsulation")}
          value={value.type}
          choices={TUNNELS.map((each) => [each, each] as const)}
          onChange={(type) => onChange({ ...value, type })}
        />
        <Text
          name={t("Remote address")}
          value={value.remote}
          onChange={(remote) => onChange({ ...value, remote })}
          mono
          required
          placeholder="192.0.2.1"
          hint={t("or `flow`: actions set it")}
        />
        <Text
          name={t("Key")}
          value={value.key}
          onChange={(key) => onChange({ ...value, key })}
          mono
          placeholder="0"
          hint={t("VNI; empty: none; or `flow`")}
        />
        <Text
          name={t("Local address")}
          value={value.local}
          onChange={(local) => onChange({ ...value, local })}
          mono
          hint={t("empty: as the host's routes say")}
        />
      </div>
      <MapEditor
        label={t("More options")}
        entries={value.more}
        onChange={(more) => onChange({ ...value, more })}
        known={KEYS["Interface.options"] ?? []}
      />
    </>
  );
}
