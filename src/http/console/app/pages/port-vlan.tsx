/** The VLANs of a port, as fields of a form. */
import { useTexts } from "../core/app.ts";
import { hasTag, hasTrunks, type VlanChoice } from "../core/port-columns.ts";
import { Pick, Text } from "../ui/form.tsx";

export function VlanFields(
  { value, onChange }: {
    readonly value: VlanChoice;
    readonly onChange: (value: VlanChoice) => void;
  },
) {
  const t = useTexts();
  const { mode, tag, trunks } = value;
  return (
    <div class="fields">
      <Pick
        name={t("VLANs")}
        value={mode}
        choices={[
          ["all", t("all (trunk)")],
          ["access", t("one, untagged (access)")],
          ["trunk", t("some (trunk)")],
          ["native-untagged", t("some, and one untagged (native)")],
          ["native-tagged", t("some, and one for what comes untagged")],
          ["dot1q-tunnel", t("a customer's, within one (802.1ad)")],
        ]}
        onChange={(next) => onChange({ ...value, mode: next })}
      />
      {hasTag(mode) && (
        <Text
          name={mode === "dot1q-tunnel" ? t("Service VLAN") : t("VLAN")}
          type="number"
          min={0}
          max={4095}
          value={tag}
          onChange={(next) => onChange({ ...value, tag: next })}
          required
        />
      )}
      {hasTrunks(mode) && (
        <Text
          name={t("VLANs carried")}
          value={trunks}
          onChange={(next) => onChange({ ...value, trunks: next })}
          placeholder="10, 20"
          pattern="[0-9, ]+"
          required={mode === "trunk"}
          {...(mode !== "trunk" && { hint: t("empty: all") })}
        />
      )}
    </div>
  );
}
