/** What is wrong, each with the way to mend it. */
import type { ComponentChildren } from "preact";
import type { Bridge } from "../../../routes/bridges.ts";
import type { Status } from "../../../routes/status.ts";
import { useMay, useTexts } from "../core/app.ts";
import { placeText } from "../core/router.ts";
import type { Translate } from "../core/translate.ts";
import { Card, Empty, Note } from "../ui/parts.tsx";

export interface ProblemsProps {
  readonly bridges: readonly Bridge[];
  readonly status: Status;
}

/** What to do about an interface's error. */
export function remedy(error: string, t: Translate): string {
  if (/no such device|could not open network device/i.test(error)) {
    return t(
      "The host has no such device now. Plug it in or make it: the port comes up by itself. " +
        "If the name is wrong, remove the port and attach the right one.",
    );
  }
  if (/permission|not permitted/i.test(error)) {
    return t(
      "The switch lacks a privilege: run it as root, or give it CAP_NET_ADMIN and CAP_NET_RAW.",
    );
  }
  if (/already|in use|busy/i.test(error)) {
    return t("Something else has it: a device can be a port of one bridge only.");
  }
  if (/not (yet )?supported|unsupported|unknown type/i.test(error)) {
    return t("This version cannot do that: choose another type, or remove the option.");
  }
  return t("The log says more. Change the port's settings, or remove it.");
}

export function Problems({ bridges, status }: ProblemsProps) {
  const t = useTexts();
  const may = useMay("operator");
  if (bridges.length === 0) {
    return (
      <Card>
        <Empty icon="bridges" title={t("No bridge yet")}>
          <p>
            {t(
              "A bridge joins devices of this host, virtual machines and tunnels into one network. " +
                "Make one here, or by the command line:",
            )}
          </p>
          <code>ovs-vsctl add-br br0</code>
          {may && (
            <a class="button primary" href={placeText(["bridges"], { add: "bridge" })}>
              {t("Make a bridge")}
            </a>
          )}
        </Empty>
      </Card>
    );
  }
  const list: { key: string; tone: "bad" | "warn"; text: ComponentChildren; href: string }[] = [];
  for (const bridge of bridges) {
    for (const port of bridge.ports) {
      for (const one of port.interfaces) {
        if (one.error === null) continue;
        list.push({
          key: `${bridge.name} ${port.name} ${one.name}`,
          tone: "bad",
          text: (
            <>
              <strong>
                {t("Port {name} of {bridge}", { name: one.name, bridge: bridge.name })}:
              </strong>{" "}
              {one.error}
              <br />
              <span class="quiet">{remedy(one.error, t)}</span>
            </>
          ),
          href: placeText(["bridges", bridge.name, port.name]),
        });
      }
    }
    for (const { target, connected } of bridge.controllers) {
      if (connected) continue;
      list.push({
        key: `${bridge.name} ${target}`,
        tone: "warn",
        text: (
          <>
            <strong>
              {t("Controller {target} of {bridge}", { target, bridge: bridge.name })}:
            </strong>{" "}
            {t("not connected.")}
            <br />
            <span class="quiet">
              {bridge.failMode === "secure"
                ? t("Fail mode is secure: no new flows until it is back.")
                : t("The bridge learns addresses by itself until it is back.")}
            </span>
          </>
        ),
        href: placeText(["controllers"]),
      });
    }
  }
  if (!status.configuration.inForce) {
    list.push({
      key: "configuration",
      tone: "warn",
      text: t("A change of the configuration is still being applied."),
      href: placeText(["logs"]),
    });
  }
  if (list.length === 0) return null;
  return (
    <section class="stack" aria-label={t("Problems")}>
      {list.slice(0, 8).map(({ key, tone, text, href }) => (
        <Note
          key={key}
          tone={tone}
          action={<a class="button small" href={href}>{t("Look into it")}</a>}
        >
          {text}
        </Note>
      ))}
      {list.length > 8 && <p class="quiet">{t("and {n} more", { n: list.length - 8 })}</p>}
    </section>
  );
}
