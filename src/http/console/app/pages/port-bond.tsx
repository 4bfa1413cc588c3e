/** A bond: its members and how they share the work, as fields of a form; its state as it runs. */
import type { Bridge } from "../../../routes/bridges.ts";
import { useTexts } from "../core/app.ts";
import type { BondChoice } from "../core/port-columns.ts";
import type { Translate } from "../core/translate.ts";
import { Check, Pick, Text } from "../ui/form.tsx";
import { Badge, type Tone } from "../ui/parts.tsx";

export type BondState = NonNullable<Bridge["ports"][number]["bond"]>;

export function BondFields(
  { value, onChange }: {
    readonly value: BondChoice;
    readonly onChange: (value: BondChoice) => void;
  },
) {
  const t = useTexts();
  const { members, mode, lacp, fast } = value;
  return (
    <>
      <Text
        name={t("Devices")}
        value={members}
        onChange={(next) => onChange({ ...value, members: next })}
        mono
        required
        placeholder="eth1, eth2"
        hint={t("at least two, separated by commas")}
      />
      <div class="fields">
        <Pick
          name={t("Sharing")}
          value={mode}
          choices={[
            ["active-backup", t("one works, the others wait")],
            ["balance-slb", t("by sender and VLAN")],
            ["balance-tcp", t("by connection (needs LACP)")],
          ]}
          onChange={(next) =>
            onChange({
              ...value,
              mode: next,
              ...(next === "balance-tcp" && lacp === "off" && { lacp: "active" }),
            })}
        />
        <Pick
          name="LACP"
          value={lacp}
          choices={[
            ["off", t("off")],
            ["active", t("on")],
            ["passive", t("if the other side begins")],
          ]}
          onChange={(next) => onChange({ ...value, lacp: next })}
        />
      </div>
      {lacp !== "off" && (
        <Check
          value={fast}
          onChange={(next) => onChange({ ...value, fast: next })}
          label={t("Notice a failure within 3 seconds instead of 90")}
        />
      )}
    </>
  );
}

const LACP_TONES: Readonly<Record<BondState["lacp"], Tone | undefined>> = {
  negotiated: "good",
  configured: "warn",
  off: undefined,
};

function lacpText(lacp: BondState["lacp"], t: Translate): string {
  switch (lacp) {
    case "negotiated":
      return t("LACP agreed");
    case "configured":
      return t("LACP: nobody answers");
    case "off":
      return t("without LACP");
    default: {
      const never: never = lacp;
      return never;
    }
  }
}

export function BondBadges({ bond }: { readonly bond: BondState }) {
  const t = useTexts();
  return (
    <>
      <Badge>{bond.mode}</Badge>
      <Badge tone={LACP_TONES[bond.lacp]}>{lacpText(bond.lacp, t)}</Badge>
    </>
  );
}

/** How one of its members fares. */
export function MemberBadge(
  { bond, name }: { readonly bond: BondState; readonly name: string },
) {
  const t = useTexts();
  const member = bond.members.find((each) => each.name === name);
  if (member === undefined) return null;
  if (!member.enabled) return <Badge tone="bad">{t("not used")}</Badge>;
  return member.active ? <Badge tone="good">{t("active")}</Badge> : null;
}
