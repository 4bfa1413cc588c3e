/** The ports of a bridge with their traffic. */
import type { Bridge } from "../../../routes/bridges.ts";
import { useApp, useTexts } from "../core/app.ts";
import { bitRate, bytes, count } from "../core/format.ts";
import type { Reading } from "../core/live.ts";
import { placeText } from "../core/router.ts";
import { useStore } from "../core/store.ts";
import type { Translate } from "../core/translate.ts";
import { Dot } from "../ui/parts.tsx";
import { BondBadges, MemberBadge } from "./port-bond.tsx";
import { remedy } from "./problems.tsx";

export type Port = Bridge["ports"][number];
type Interface = Port["interfaces"][number];

export function vlanText(port: Port, t: Translate): string {
  if (port.tag !== null) return `${port.tag}${port.vlanMode ? ` ${port.vlanMode}` : ""}`;
  if (port.trunks.length > 0) return t("trunk {list}", { list: port.trunks.join(", ") });
  return port.vlanMode ?? t("all");
}

export function PortTable({ bridge }: { readonly bridge: Bridge }) {
  const { live, router } = useApp();
  const t = useTexts();
  const reading = useStore(live.reading);
  return (
    <div class="scroll">
      <table class="stacks">
        <thead>
          <tr>
            <th>{t("Port")}</th>
            <th class="number">{t("OpenFlow")}</th>
            <th>{t("Type")}</th>
            <th>{t("VLANs")}</th>
            <th>{t("MAC")}</th>
            <th class="number">{t("Received")}</th>
            <th class="number">{t("Sent")}</th>
          </tr>
        </thead>
        <tbody>
          {bridge.ports.flatMap((port) =>
            port.interfaces.map((one) => (
              <InterfaceRow
                key={`${port.name} ${one.name}`}
                port={port}
                one={one}
                href={placeText(["bridges", bridge.name, port.name])}
                now={reading?.ports.find((each) =>
                  each.bridge === bridge.name && each.name === one.name
                )}
                onPick={() => router.go(["bridges", bridge.name, port.name])}
              />
            ))
          )}
        </tbody>
      </table>
    </div>
  );
}

/** An internal port is down until the host uses it: no fault. */
const toneOf = ({ error, type }: Interface, up: boolean): "good" | "bad" | undefined =>
  error !== null ? "bad" : up ? "good" : type === "internal" ? undefined : "bad";

interface InterfaceRowProps {
  readonly port: Port;
  readonly one: Interface;
  readonly href: string;
  readonly now: Reading["ports"][number] | undefined;
  readonly onPick: () => void;
}

function InterfaceRow({ port, one, href, now, onPick }: InterfaceRowProps) {
  const t = useTexts();
  const up = now?.linkUp ?? one.linkState === "up";
  const traffic = (bps: number | undefined, packets?: number, octets?: number) => (
    <>
      {bps === undefined ? "–" : bitRate(bps)}
      <br />
      <span class="faint">{`${count(packets)} · ${bytes(octets ?? 0)}`}</span>
    </>
  );
  return (
    <>
      <tr class="pick" onClick={onPick}>
        <td>
          <span class="row tight">
            <Dot tone={toneOf(one, up)} />
            <a href={href} onClick={(event) => event.stopPropagation()}>
              <strong>{port.name}</strong>
            </a>
            {port.name !== one.name && <span class="quiet">/ {one.name}</span>}
            {port.bond !== null && <MemberBadge bond={port.bond} name={one.name} />}
            <span class="faint">
              {one.error !== null || up
                ? ""
                : one.type === "internal"
                ? t("not used by the host")
                : t("link down")}
            </span>
          </span>
        </td>
        <td class="number" data-name={t("OpenFlow")}>
          {one.ofport === null || one.ofport < 0 ? "–" : one.ofport}
        </td>
        <td data-name={t("Type")}>
          {port.bond !== null && one.name === port.interfaces[0]?.name
            ? (
              <span class="row tight">
                <BondBadges bond={port.bond} />
              </span>
            )
            : one.type || t("device")}
        </td>
        <td data-name={t("VLANs")}>{vlanText(port, t)}</td>
        <td class="mono" data-name={t("MAC")}>{one.mac ?? "–"}</td>
        <td class="number" data-name={t("Received")}>
          <span>{traffic(now?.rxBps, now?.rxPackets, now?.rxBytes)}</span>
        </td>
        <td class="number" data-name={t("Sent")}>
          <span>{traffic(now?.txBps, now?.txPackets, now?.txBytes)}</span>
        </td>
      </tr>
      {one.error !== null && (
        <tr>
          <td colSpan={7} class="wrap">
            <span class="bad">{one.error}</span> <span class="quiet">{remedy(one.error, t)}</span>
          </td>
        </tr>
      )}
    </>
  );
}
