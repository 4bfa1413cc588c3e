import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogSink } from "../../../src/log/log.ts";
import { CommandError, UnixctlServer } from "../../../src/slowpath/unixctl.ts";

describe("the unixctl server", () => {
  let dir: string;
  let server: UnixctlServer;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "solovs-unixctl-"));
    server = new UnixctlServer(join(dir, "ctl"), new LogSink(() => {}, "off").logger("unixctl"));
    server.register("say", {
      usage: "[words]",
      minArguments: 1,
      maxArguments: 2,
      run: (args) => `${args.join("+")}\n`,
    });
    server.register("fail", {
      usage: "",
      minArguments: 0,
      maxArguments: 0,
      run: () => {
        throw new CommandError("it went wrong");
      },
    });
    server.register("break", {
      usage: "",
      minArguments: 0,
      maxArguments: 0,
      run: () => Promise.reject(new Error("a bug")),
    });
  });
  afterEach(() => {
    server.close();
    rmSync(dir, { recursive: true, force: true });
  });

  /** Sends text and gives all that comes back until the server closes or falls silent. */
  function talk(text: string, replies: number): Promise<{ replies: unknown[]; ended: boolean }> {
    return new Promise((resolve) => {
      let got = "";
      const socket = connect({ path: join(dir, "ctl") });
      const finish = (ended: boolean): void => {
        socket.destroy();
        const parts = got.replaceAll("}{", "}\n{").split("\n").filter((part) => part !== "");
        resolve({ replies: parts.map((part) => JSON.parse(part) as unknown), ended });
      };
      socket.on("data", (data) => {
        got += data.toString();
        if (replies > 0 && got.split('"id"').length - 1 >= replies) finish(false);
      });
      socket.on("close", () => finish(true));
      socket.write(text);
    });
  }
  const ask = async (method: string, ...params: unknown[]): Promise<unknown> =>
    (await talk(JSON.stringify({ id: 1, method, params }), 1)).replies[0];

  test("runs a command and gives its text", async () => {
    expect(await ask("say", "a", "b")).toMatchObject({ id: 1, result: "a+b\n" });
  });

  test("answers several requests of one connection in order", async () => {
    const { replies } = await talk(
      '{"id":1,"method":"say","params":["x"]} {"id":2,"method":"say","params":["y"]}',
      2,
    );
    expect(replies).toMatchObject([{ id: 1, result: "x\n" }, { id: 2, result: "y\n" }]);
  });

  test("lists its commands in order", async () => {
    const reply = await ask("list-commands") as { result: string };
    expect(reply.result).toStartWith("The available commands are:\n  break");
    expect(reply.result).toContain("  say                     [words]\n");
  });

  test.each([
    ["an unknown command", "nope", [], '"nope" is not a valid command'],
    ["too few arguments", "say", [], "requires at least 1 arguments"],
    ["too many arguments", "say", ["1", "2", "3"], "takes at most 2 arguments"],
    ["arguments that are no text", "say", [1], "non-string argument"],
    ["a command's own error", "fail", [], "it went wrong"],
    ["a fault", "break", [], "internal error in break"],
  ])("%s is an error with a text", async (_, method, params, text) => {
    const reply = await ask(method, ...params) as { error: string };
    expect(reply.error).toContain(text);
  });

  test.each([["no JSON", "hello?"], ["no request", '{"id":1}'], [
    "no array",
    '{"id":1,"method":"say","params":"x"}',
  ]])(
    "%s closes the connection, and another still works",
    async (_, text) => {
      expect(await talk(text, 0)).toEqual({ replies: [], ended: true });
      expect(await ask("say", "still")).toMatchObject({ result: "still\n" });
    },
  );
});
