/** The log as it is written, and how much each module writes. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Refused } from "../core/api.ts";
import { useAction, useApp, useMay, useQuery, useTexts } from "../core/app.ts";
import { Icon } from "../ui/icons.tsx";
import { Card, Waiting } from "../ui/parts.tsx";

const LEVELS = ["off", "emer", "err", "warn", "info", "dbg"] as const;
const KEPT = 1000;

interface Line {
  readonly time: string;
  readonly module: string;
  readonly level: string;
  readonly text: string;
}

/** `TIME|NNNNN|module|LEVEL|message`. */
function parseLine(line: string): Line {
  const [time = "", , module = "", level = "", ...rest] = line.split("|");
  return { time, module, level: level.toLowerCase(), text: rest.join("|") };
}

export function Logs() {
  const t = useTexts();
  const [lines, setLines] = useState<readonly Line[]>([]);
  const [least, setLeast] = useState("dbg");
  const [search, setSearch] = useState("");
  const [paused, setPaused] = useState(false);
  const end = useRef<HTMLDivElement>(null);
  const { api, toasts } = useApp();
  useEffect(() => {
    api.get<{ lines: { line: string }[] }>(`/logs?limit=300`).then(
      ({ lines }) => setLines(lines.map(({ line }) => parseLine(line))),
      (error) => toasts.bad(error instanceof Refused ? error.message : String(error)),
    );
    const source = new EventSource("/api/v1/logs/stream");
    source.addEventListener("log", (event) => {
      const { line } = JSON.parse(event.data) as { line: string };
      setLines((old) => [...old.slice(-KEPT + 1), parseLine(line)]);
    });
    return () => source.close();
  }, []);
  useEffect(() => {
    if (!paused) end.current?.scrollIntoView({ block: "end" });
  }, [lines, paused]);
  const lower = search.toLowerCase();
  const shown = lines.filter(({ level, module, text }) =>
    LEVELS.indexOf(level as "dbg") <= LEVELS.indexOf(least as "dbg") &&
    (lower === "" || `${module} ${text}`.toLowerCase().includes(lower))
  );
  return (
    <>
      <Card
        title={t("Log")}
        actions={
          <>
            <select
              class="auto small"
              aria-label={t("Least level shown")}
              value={least}
              onChange={(event) => setLeast(event.currentTarget.value)}
            >
              {LEVELS.slice(2).map((level) => <option key={level}>{level}</option>)}
            </select>
            <button
              type="button"
              class="small"
              aria-pressed={paused}
              onClick={() => setPaused(!paused)}
            >
              <Icon name={paused ? "play" : "stop"} /> {paused ? t("Follow") : t("Hold")}
            </button>
          </>
        }
      >
        <div class="body">
          <div class="search">
            <Icon name="search" />
            <input
              type="search"
              aria-label={t("Search the log")}
              placeholder={t("Search the log")}
              value={search}
              onInput={(event) => setSearch(event.currentTarget.value)}
            />
          </div>
        </div>
        <div class="log" role="log" aria-label={t("Log")} tabIndex={0}>
          {shown.length === 0 && <p class="quiet">{t("Nothing was logged that fits.")}</p>}
          {shown.map(({ time, module, level, text }, i) => (
            <div class={`line ${level}`} key={i}>
              <time class="faint">{time.slice(11, 23)}</time>
              <span class="level">{level}</span>
              <span class="module">{module}</span>
              <span class="text">{text}</span>
            </div>
          ))}
          <div ref={end} />
        </div>
      </Card>
      <Levels />
    </>
  );
}

function Levels() {
  const { api, toasts } = useApp();
  const t = useTexts();
  const may = useMay("operator");
  const { data, error, reload } = useQuery<{ levels: Record<string, string> }>("/logs/levels");
  const { busy, run } = useAction();
  if (data === undefined) return <Waiting error={error} retry={reload} />;
  const set = (module: string, level: string): void =>
    void run(async () => {
      await api.ask("PATCH", "/logs/levels", { body: { levels: { [module]: level } } });
      toasts.good(t("{module} logs at {level} now, until the switch ends.", { module, level }));
      reload();
    });
  const pick = (module: string, value: string) => (
    <select
      class="auto small"
      aria-label={t("Level of {module}", { module })}
      disabled={!may || busy}
      value={value}
      onChange={(event) => set(module, event.currentTarget.value)}
    >
      {value === "" && <option value="">{t("set all to…")}</option>}
      {LEVELS.map((level) => <option key={level}>{level}</option>)}
    </select>
  );
  return (
    <Card title={t("Levels")} actions={pick("any", "")}>
      <ul class="levels body">
        {Object.entries(data.levels).map(([module, level]) => (
          <li class="row" key={module}>
            <span class="mono">{module}</span>
            <span class="push">{pick(module, level)}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}
