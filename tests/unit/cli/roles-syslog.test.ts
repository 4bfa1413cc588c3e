/** What arrives at a system log. */
import { describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fatal } from "../../../src/cli/clients/fatal.ts";
import { SystemLog } from "../../../src/cli/roles/syslog.ts";
import { Vlog } from "../../../src/cli/roles/vlog.ts";
import { bind, close, recv, socket } from "../../../src/linux/libc.ts";

const NOWHERE = { OVS_SYSLOG_METHOD: "null" };

async function udpListener(): Promise<
  { port: number; next: () => Promise<string>; close(): void }
> {
  const listener = createSocket("udp4");
  const waiting: string[] = [];
  let wake: (() => void) | undefined;
  listener.on("message", (message) => {
    waiting.push(message.toString("utf8"));
    wake?.();
  });
  listener.bind(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    port: listener.address().port,
    next: async () => {
      while (waiting.length === 0) await new Promise<void>((resolve) => wake = resolve);
      return waiting.shift()!;
    },
    close: () => listener.close(),
  };
}

function make(environment: NodeJS.ProcessEnv = NOWHERE): Vlog {
  return new Vlog("ovs-ofctl", ["ofctl"], () => {}, new SystemLog("ovs-ofctl", environment));
}

describe("the system log", () => {
  test("over UDP: priority and message", async () => {
    const listener = await udpListener();
    const vlog = make();
    vlog.setSystemMethod(`udp:127.0.0.1:${listener.port}`);
    // Of several methods, the first counts.
    vlog.setSystemMethod("null");
    vlog.set("facility:daemon");
    vlog.logger("ofctl").warn("first\nsecond");
    expect(await listener.next()).toBe("<28>ovs|00001|ofctl|WARN|first");
    expect(await listener.next()).toBe("<28>second");
    vlog.set("syslog:err");
    vlog.logger("ofctl").warn("not this one");
    vlog.logger("ofctl").err("this one");
    expect(await listener.next()).toBe("<27>ovs|00003|ofctl|ERR|this one");
    expect(vlog.listPatterns()).toContain("SYSLOG   <%B>  ");
    listener.close();
  });

  test("a target besides: as RFC 5424 has it", async () => {
    const listener = await udpListener();
    const vlog = make();
    vlog.setSystemTarget(`127.0.0.1:${listener.port}`);
    expect(await listener.next()).toContain("--syslog-target flag is deprecated");
    vlog.logger("ofctl").err("über");
    expect(await listener.next()).toMatch(
      /^<131>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ ovs-ofctl \d+ ofctl - \ufeffüber$/,
    );
    listener.close();
  });

  test("over a Unix socket", () => {
    const directory = mkdtempSync(join(tmpdir(), "solovs-syslog-"));
    const path = join(directory, "log");
    const fd = socket(1, 2, 0);
    const name = new TextEncoder().encode(`${path}\0`);
    bind(fd, Uint8Array.of(1, 0, ...name));
    const vlog = make({ OVS_SYSLOG_METHOD: `unix:${path}` });
    vlog.logger("ofctl").info("hello");
    const bytes = new Uint8Array(256);
    const length = recv(fd, bytes, 0);
    expect(new TextDecoder().decode(bytes.subarray(0, length))).toBe(
      "<29>ovs|00001|ofctl|INFO|hello",
    );
    close(fd);
    rmSync(directory, { recursive: true });
    // Nobody is there any more: that is no error.
    vlog.logger("ofctl").info("lost");
  });

  test("without one, nothing is open for it", () => {
    expect(make().logger("ofctl").enabled("dbg")).toBe(false);
    const vlog = make();
    vlog.set("syslog:dbg");
    expect(vlog.logger("ofctl").enabled("dbg")).toBe(false);
  });

  test.each(["udp:somewhere:514", "udp:127.0.0.1:99999", "pigeon", "udp:"])(
    "%s is refused",
    (method) => expect(() => make().setSystemMethod(method)).toThrow(Fatal),
  );
  test("a target needs a port", () => {
    expect(() => make().setSystemTarget("127.0.0.1")).toThrow("IP:PORT");
  });
});
