/** The form for a new bridge. */
import { useState } from "preact/hooks";
import { useAction, useApp, useTexts } from "../core/app.ts";
import { applyChange } from "../core/change.ts";
import { Dialog, Pick, Text } from "../ui/form.tsx";
import { Note } from "../ui/parts.tsx";

export function AddBridge({ onClose }: { readonly onClose: (made?: string) => void }) {
  const app = useApp();
  const t = useTexts();
  const [name, setName] = useState("br0");
  const [failMode, setFailMode] = useState<"standalone" | "secure">("standalone");
  const [controller, setController] = useState("");
  const [wrong, setWrong] = useState<string>();
  const { busy, run } = useAction();
  const add = (): void => {
    setWrong(undefined);
    void run(async () => {
      await applyChange(app, t, {
        method: "POST",
        path: "/bridges",
        body: { name, ...(failMode === "secure" && { fail_mode: failMode }) },
        said: t("Bridge {name} was made.", { name }),
      });
      if (controller !== "") {
        await applyChange(app, t, {
          method: "POST",
          path: `/tables/Controller?place=${encodeURIComponent(`Bridge/${name}/controller`)}`,
          body: { target: controller },
          said: t("{name} connects to {target}.", { name, target: controller }),
        });
      }
      onClose(name);
    }, (error) => {
      setWrong(error.message);
      return true;
    });
  };
  return (
    <Dialog
      title={t("Make a bridge")}
      onClose={() => onClose()}
      onSubmit={add}
      submit={t("Make the bridge")}
      busy={busy}
    >
      <p class="quiet">
        {t(
          "It comes with an internal port of its name, so that this host can have addresses on it.",
        )}
      </p>
      <div class="fields">
        <Text
          name={t("Name")}
          value={name}
          onChange={setName}
          mono
          required
          autofocus
          maxLength={15}
          hint={t("1 to 15 characters, without / or blanks")}
        />
        <Pick
          name={t("Without a controller")}
          value={failMode}
          choices={[
            ["standalone", t("learn addresses (standalone)")],
            ["secure", t("forward by flows only (secure)")],
          ]}
          onChange={setFailMode}
        />
        <Text
          name={t("Controller (optional)")}
          value={controller}
          onChange={setController}
          mono
          all
          placeholder="tcp:192.0.2.1:6653"
        />
      </div>
      {wrong !== undefined && <Note tone="bad">{wrong}</Note>}
    </Dialog>
  );
}
