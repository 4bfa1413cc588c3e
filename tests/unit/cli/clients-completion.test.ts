/** What the shell completes: commands, options, and names that are in the database. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  candidates,
  type OwnCommand,
  splitLine,
} from "../../../src/cli/clients/completion/candidates.ts";
import { completionScript } from "../../../src/cli/clients/completion/scripts.ts";
import { runVsctl } from "../../../src/cli/clients/vsctl/run.ts";
import { type DatabaseService, startDatabaseService } from "../../../src/db/service.ts";
import { LogSink } from "../../../src/log/log.ts";

const leaf = (name: string, ...options: string[]): OwnCommand => ({
  name,
  options,
  values: [],
  subcommands: [],
});

describe("completion", () => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-completion-"));
  const remote = `unix:${dir}/db.sock`;
  let service: DatabaseService;
  beforeAll(async () => {
    service = startDatabaseService({
      dbFile: `${dir}/conf.sqlite`,
      sockets: [`p${remote}`],
      logger: new LogSink(() => {}).logger("db"),
    });
    const line = "add-br br0 -- add-br br1 -- add-port br0 p1 -- add-port br1 p2";
    await runVsctl("test", [`--db=${remote}`, "--no-wait", ...line.split(" ")]);
  });
  afterAll(() => {
    service.close();
    rmSync(dir, { recursive: true });
  });

  const own = [leaf("run", "--db"), {
    ...leaf("config"),
    subcommands: [leaf("log"), leaf("diff")],
  }];
  const complete = (line: string) =>
    candidates(splitLine(line.replace("DB", `--db=${remote}`)), own);

  for (
    const [line, expected] of [
      ["solovs ", ["config", "run"]],
      ["solovs run --", ["--db"]],
      ["solovs config l", ["log"]],
      ["solovs nosuch x", []],
      ["solovs vsctl add-b", ["add-bond", "add-bond-iface", "add-br"]],
      ["solovs vsctl -- --may", ["--may-exist"]],
      ["solovs vsctl --format=j", ["--format=json"]],
      ["solovs vsctl DB del-br ", ["br0", "br1"]],
      ["solovs vsctl DB list-br -- add-port b", ["br0", "br1"]],
      ["/usr/bin/ovs-vsctl DB list-ports ", ["br0", "br1"]],
      ["solovs vsctl DB del-port br0 ", ["p1"]],
      ["solovs vsctl DB del-port ", ["br0", "br1", "p1", "p2"]],
      ["solovs vsctl DB iface-to-br p", ["p1", "p2"]],
      ["solovs vsctl DB set Bri", ["Bridge"]],
      ["solovs vsctl DB set port p", ["p1", "p2"]],
      ["solovs vsctl DB set port p1 ta", ["tag="]],
      ["solovs vsctl DB get port p1 ta", ["tag"]],
      ["solovs vsctl DB set-fail-mode br0 s", ["secure", "standalone"]],
      ["solovs vsctl DB list-br ", ["--"]],
      ["solovs vsctl --db=unix:/nonexistent del-br ", []],
      ["ovsdb-client monitor-", ["monitor-cond", "monitor-cond-since"]],
      ["ovsdb-client dump O", ["Open_vSwitch"]],
    ] as const
  ) test(line, async () => expect(await complete(line)).toEqual([...expected]));

  test("words of a line", () => {
    expect(splitLine("a  'b c' \"d\"e f\\ g ")).toEqual(["a", "b c", "de", "f g", ""]);
  });

  test("bash takes the script, and keeps what stands before a colon", async () => {
    const bin = join(dir, "solovs");
    await Bun.write(bin, "#!/bin/sh\nprintf 'external_ids:x=\\nexternal_ids:y=\\n'\n");
    await Bun.$`chmod +x ${bin}`;
    const script = `${completionScript("bash")}
      COMP_LINE='solovs vsctl set bridge br0 external_ids:'; COMP_POINT=\${#COMP_LINE}
      COMP_WORDS=(solovs vsctl set bridge br0 external_ids :); COMP_CWORD=6
      _solovs; printf '%s|' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = Bun.spawnSync(["bash", "-c", script], {
      env: { ...process.env, PATH: `${dir}:${process.env.PATH}` },
    });
    expect(stderr.toString()).toBe("");
    expect(stdout.toString()).toBe("x=|y=|");
  });
});
