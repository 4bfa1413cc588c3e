/** The host's interfaces to choose from, with a warning before the one that carries you. */
import type { DevicesJson } from "../../../routes/devices.ts";
import { useQuery, useTexts } from "../core/app.ts";
import { bitRate } from "../core/format.ts";
import { Badge, Dot, Empty, Note, Waiting } from "../ui/parts.tsx";

export type Device = DevicesJson["devices"][number];

export interface DevicePickerProps {
  readonly value: string;
  readonly onChange: (device: Device) => void;
}

export function DevicePicker({ value, onChange }: DevicePickerProps) {
  const t = useTexts();
  const { data, error, reload } = useQuery<DevicesJson>("/devices", { everyMs: 4000 });
  if (data === undefined) return <Waiting error={error} retry={reload} />;
  const devices = data.devices.filter(({ loopback, kind }) => !loopback && kind !== "tun")
    .sort((a, b) => Number(a.bridge !== null) - Number(b.bridge !== null));
  if (devices.length === 0) {
    return (
      <Empty icon="device" title={t("This host has no device to attach")}>
        <p>{t("Plug one in, or make a virtual one; it appears here by itself.")}</p>
        <code>ip link add veth0 type veth peer name veth1</code>
      </Empty>
    );
  }
  return (
    <ul class="devices" role="radiogroup" aria-label={t("Devices of the host")}>
      {devices.map((device) => (
        <li key={device.name}>
          <label class={device.bridge === null ? "" : "taken"}>
            <input
              type="radio"
              name="device"
              checked={device.name === value}
              disabled={device.bridge !== null}
              onChange={() => onChange(device)}
            />
            <span class="what">
              <span class="row tight">
                <Dot tone={device.linkUp ? "good" : "bad"} />
                <strong class="mono">{device.name}</strong>
                <span class="quiet">
                  {device.kind ?? device.driver ?? t("device")}
                  {device.linkSpeedBps !== null && `, ${bitRate(device.linkSpeedBps)}`}
                </span>
                {device.carriesYou && <Badge tone="bad">{t("carries your connection")}</Badge>}
                {!device.carriesYou && device.defaultRoute && (
                  <Badge tone="warn">{t("default route")}</Badge>
                )}
                {device.bridge !== null && (
                  <Badge>{t("port of {bridge}", { bridge: device.bridge })}</Badge>
                )}
              </span>
              <span class="faint mono">{[device.mac, ...device.addresses].join("  ")}</span>
            </span>
          </label>
        </li>
      ))}
    </ul>
  );
}

/** Attaching it may cut somebody off. */
export const isRisky = (device: Device | undefined): boolean =>
  device !== undefined &&
  (device.carriesYou || device.defaultRoute ||
    device.addresses.some((address) => !address.startsWith("fe80:")));

export function DeviceWarning({ device }: { readonly device: Device | undefined }) {
  const t = useTexts();
  if (device === undefined || !isRisky(device)) return null;
  const { name } = device;
  if (device.carriesYou) {
    return (
      <Note tone="bad">
        <strong>{t("Your own connection to this switch comes in by {name}.", { name })}</strong> {t(
          "As a port of a bridge it gives all packets to the bridge, and its addresses do not answer " +
            "any more: you would be cut off. Move the addresses to the bridge's internal port, and let " +
            "the change take itself back if you cannot confirm it.",
        )}
      </Note>
    );
  }
  return (
    <Note tone="warn">
      {device.defaultRoute
        ? t(
          "{name} is this host's way to everywhere else. Attached to a bridge, its addresses do not " +
            "answer any more until they are moved to the bridge's internal port.",
          { name },
        )
        : t(
          "{name} has addresses of this host. They do not answer any more once it is attached; move " +
            "them to the bridge's internal port.",
          { name },
        )}
    </Note>
  );
}
