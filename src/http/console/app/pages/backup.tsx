/** The whole configuration as a file, and back from one. */
import { useRef, useState } from "preact/hooks";
import { useAction, useApp, useMay, useTexts } from "../core/app.ts";
import { Dialog } from "../ui/form.tsx";
import { Icon } from "../ui/icons.tsx";
import { Card, Note } from "../ui/parts.tsx";

interface Restored {
  readonly revision: number | null;
  readonly rows: number;
  readonly dropped: readonly string[];
}

export function Backup() {
  const { api, toasts, router } = useApp();
  const t = useTexts();
  const may = useMay("operator");
  const [file, setFile] = useState<File>();
  const [dropped, setDropped] = useState<readonly string[]>([]);
  const input = useRef<HTMLInputElement>(null);
  const { busy, run } = useAction();
  const forget = (): void => {
    setFile(undefined);
    if (input.current) input.current.value = "";
  };
  const restore = (): void =>
    void run(async () => {
      const answer = await api.ask<Restored>("POST", "/restore", { body: file });
      setDropped(answer.dropped);
      forget();
      const { revision } = answer;
      if (revision === null) return toasts.good(t("This was the configuration already."));
      toasts.good(t("{n} rows were restored.", { n: answer.rows }), {
        label: t("Show the history"),
        run: () => router.go(["history"]),
      });
    });
  return (
    <div class="columns">
      <Card title={t("Take a backup")} padded>
        <div class="stack">
          <p>
            {t(
              "One file with the configuration and its history: an SQLite database. Users, tokens and " +
                "statistics are not in it; flows are in no database.",
            )}
          </p>
          <p class="row">
            <a class="button primary" href="/api/v1/backup" download>
              <Icon name="download" /> {t("Download the backup")}
            </a>
          </p>
          <p class="quiet">
            {t("For scripts:")} <code>solovs db backup FILE</code>
          </p>
        </div>
      </Card>
      <Card title={t("Restore")} padded>
        <div class="stack">
          <p>
            {t(
              "Puts a backup's configuration in the place of this one, in one step. Open vSwitch's " +
                "own conf.db can be given too. It becomes a revision: you can go back.",
            )}
          </p>
          <label class="drop">
            <Icon name="upload" />
            <span>{file?.name ?? t("Choose a file, or drop it here")}</span>
            <input
              ref={input}
              type="file"
              disabled={!may}
              onChange={(event) => setFile(event.currentTarget.files?.[0])}
            />
          </label>
          {dropped.length > 0 && (
            <Note tone="warn">
              {t("This version does not know, and left out:")} {dropped.join(", ")}
            </Note>
          )}
        </div>
      </Card>
      {file !== undefined && (
        <Dialog
          title={t("Replace the configuration?")}
          onClose={forget}
          onSubmit={restore}
          submit={t("Restore")}
          danger
          busy={busy}
        >
          <p>
            {t(
              "All bridges, ports and settings become those of {name}. What is not in it is removed.",
              {
                name: file.name,
              },
            )}
          </p>
        </Dialog>
      )}
    </div>
  );
}
