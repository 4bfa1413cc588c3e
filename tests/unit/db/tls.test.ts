/** TLS: what is configured, what files may hold, and who is let in, over loopback. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket } from "bun";
import { connectTls } from "../../../src/db/tls/connect.ts";
import { loadContext } from "../../../src/db/tls/context.ts";
import { listenTls, type ListenTlsOptions } from "../../../src/db/tls/listen.ts";
import { parseProtocols, settingsOver, type TlsSettings } from "../../../src/db/tls/settings.ts";
import { Tls } from "../../../src/db/tls/tls.ts";
import { LogSink } from "../../../src/log/log.ts";
import {
  type Authority,
  type Identity,
  makeAuthority,
  makeIdentity,
} from "../../support/certificates.ts";
import { eventually } from "../../support/eventually.ts";
import { run } from "../../support/exec.ts";

test.each([
  [undefined, 0x303, 0x304, []],
  ["TLSv1.2", 0x303, 0x303, []],
  ["TLSv1.3", 0x304, 0x304, []],
  ["TLSv1.2,TLSv1.1", 0x303, 0x303, ["TLSv1.1"]],
  ["tlsv1.2 tlsv1.3", 0x303, 0x304, []],
  ["TLSv1+", 0x303, 0x304, []],
  ["TLSv1.2+", 0x303, 0x304, []],
])("protocols %j", (text, minVersion, maxVersion, ignored) => {
  expect(parseProtocols(text)).toEqual({ minVersion, maxVersion, ignored });
});

test.each(["", "TLSv1", "TLSv1.1,TLSv1", "SSLv3", "TLSv1.2,bogus"])(
  "protocols %j are refused",
  (text) => expect(() => parseProtocols(text)).toThrow("use TLSv1.2, TLSv1.3 or both"),
);

test("the two options for the CA are one setting", () => {
  const row = { privateKey: "k", certificate: "c", caCert: "a" };
  expect(settingsOver({ bootstrapCaCert: "b" }, row)).toMatchObject({
    privateKey: "k",
    caCert: undefined,
    bootstrapCaCert: "b",
  });
});

describe.skipIf(Bun.which("openssl") === null)("with files", () => {
  const dir = mkdtempSync(join(tmpdir(), "solovs-tls-"));
  const log: string[] = [];
  const logger = new LogSink((line) => void log.push(line), "dbg").logger("tls");
  let ca: Authority;
  let otherCa: Authority;
  let server: Identity;
  let client: Identity;
  let stranger: Identity;
  let old: Identity;
  const closers: (() => void)[] = [];

  beforeAll(async () => {
    [ca, otherCa] = [await makeAuthority(dir, "ca"), await makeAuthority(dir, "other-ca")];
    server = await makeIdentity(dir, "server", ca);
    client = await makeIdentity(dir, "client", ca);
    stranger = await makeIdentity(dir, "stranger", otherCa);
    old = await makeIdentity(dir, "old", ca, { expired: true });
  });
  afterAll(() => {
    for (const close of closers) close();
    rmSync(dir, { recursive: true, force: true });
  });

  const of = (identity: Identity, authority: Authority = ca): TlsSettings => ({
    ...identity,
    caCert: authority.certificate,
  });
  const tlsOf = (settings: TlsSettings | (() => TlsSettings)): Tls =>
    new Tls(typeof settings === "function" ? settings : () => settings, logger);

  interface Echo {
    readonly port: number;
    readonly opened: Socket<undefined>[];
    close(abortive: boolean): void;
  }

  /** Sends back what it gets. */
  function echo(tls: Tls, options: Partial<ListenTlsOptions<undefined>> = {}): Echo {
    const opened: Socket<undefined>[] = [];
    const listener = listenTls<undefined>(tls, {
      name: "pssl:0",
      hostname: "127.0.0.1",
      port: 0,
      data: undefined,
      socket: {
        open: (socket) => void opened.push(socket),
        data: (socket, bytes) => void socket.write(bytes),
      },
      ...options,
    });
    closers.push(() => listener.close(true));
    return { port: listener.port, opened, close: (abortive) => listener.close(abortive) };
  }

  /** Connects, says hello, and resolves to what comes back; or to why it ended. */
  async function hello(tls: Tls, port: number, hostname = "127.0.0.1"): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = await connectTls<undefined>(tls, {
      hostname,
      port,
      data: undefined,
      socket: {
        data: (_, bytes) => resolve(bytes.toString()),
        close: () => resolve("closed"),
        error: () => resolve("closed"),
      },
    });
    socket.write("hello");
    const answer = await promise;
    socket.terminate();
    return answer;
  }

  describe("context", () => {
    const broken = (change: Partial<TlsSettings>) => () =>
      loadContext({ ...of(server), ...change } as TlsSettings);

    test("needs all three", () => {
      expect(broken({ privateKey: undefined })).toThrow("--private-key");
      expect(broken({ certificate: undefined })).toThrow("--certificate");
      expect(broken({ caCert: undefined })).toThrow("--ca-cert");
    });

    test("names the file that is at fault, and what to do", () => {
      const file = join(dir, "bad.pem");
      writeFileSync(file, "nonsense");
      expect(broken({ privateKey: "/nowhere/k" })).toThrow(
        "private key /nowhere/k (no such file; make it",
      );
      expect(broken({ caCert: dir })).toThrow(`${dir} (it is a directory`);
      expect(broken({ privateKey: file })).toThrow(`${file} holds no usable private key`);
      expect(broken({ certificate: file })).toThrow(`${file} holds no certificate`);
      expect(broken({ caCert: file })).toThrow(`${file} holds no CA certificate`);
      expect(broken({ privateKey: client.privateKey })).toThrow("does not belong to");
      expect(broken({ peerCaCert: file })).toThrow(`${file} holds no CA certificate`);
      expect(broken({ ciphers: "BOGUS" })).toThrow('ciphers "BOGUS"');
      expect(broken({ protocols: "TLSv1" })).toThrow("RFC 8996");
      writeFileSync(file, "x".repeat(2 << 20));
      expect(broken({ caCert: file })).toThrow("larger than 1 MiB");
      writeFileSync(
        file,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
      );
      expect(broken({ caCert: file })).toThrow("damaged");
    });

    test("sends its own CA, not one that only signs others", () => {
      const count = (settings: TlsSettings) =>
        loadContext(settings).certificates.match(/BEGIN CERTIFICATE/g)?.length;
      expect(count(of(server))).toBe(2);
      expect(count(of(server, otherCa))).toBe(1);
      expect(count({ ...of(server, otherCa), peerCaCert: ca.certificate })).toBe(2);
    });

    test("an expired certificate is a warning", () => {
      expect(loadContext(of(old)).warnings[0]).toContain("expired");
    });

    test("is the same object until a file or setting changes, and right again after a fault", () => {
      let settings = of(server);
      const tls = tlsOf(() => settings);
      const first = tls.context();
      expect(tls.context()).toBe(first);
      settings = of(client);
      expect(tls.context()).not.toBe(first);
      const file = join(dir, "copy.pem");
      copyFileSync(ca.certificate, file);
      settings = { ...settings, caCert: file };
      const second = tls.context();
      rmSync(file);
      expect(() => tls.context()).toThrow(file);
      copyFileSync(otherCa.certificate, file);
      expect(tls.context().trust).not.toEqual(second.trust);
    });
  });

  test("both ends prove who they are, and are named in the log", async () => {
    const { port } = echo(tlsOf(of(server)));
    expect(await hello(tlsOf(of(client)), port)).toBe("hello");
    expect(await hello(tlsOf(of(client)), port, "localhost")).toBe("hello");
    const lines = log.join("\n");
    expect(lines).toMatch(/INFO\|ssl:127\.0\.0\.1:\d+: TLSv1\.3, "client"/);
    expect(lines).toContain(`ssl:127.0.0.1:${port}: TLSv1.3, "server"`);
    expect(lines.match(/server name .*/g)).toEqual(["server name localhost"]);
  });

  test.each<[string, () => TlsSettings, string]>([
    ["of another CA", () => of(stranger), "not signed by the CA"],
    ["that expired", () => of(old), "expired"],
  ])("a client with a certificate %s is not let in", async (_, settings, problem) => {
    log.length = 0;
    const { port, opened } = echo(tlsOf(of(server)));
    expect(await hello(tlsOf(settings()), port).catch(() => "closed")).toBe("closed");
    expect(opened).toEqual([]);
    expect(log.find((line) => /WARN.*handshake failed/.test(line))).toContain(problem);
  });

  test("a client without a certificate is not let in", async () => {
    log.length = 0;
    const { port, opened } = echo(tlsOf(of(server)));
    for (const version of ["-tls1_2", "-tls1_3"]) {
      await run(["openssl", "s_client", version, "-connect", `127.0.0.1:${port}`], { stdin: "x" });
    }
    await eventually(
      "both are refused",
      () => log.join().match(/sent no certificate/g)?.length === 2,
    );
    expect(opened).toEqual([]);
  });

  test.each<[string, () => TlsSettings, string]>([
    ["of another CA", () => of(stranger), "not signed by the CA"],
    ["that expired", () => of(old), "expired"],
  ])("a server with a certificate %s is not talked to", async (_, settings, problem) => {
    const { port } = echo(tlsOf(settings()));
    await expect(hello(tlsOf(of(client)), port)).rejects.toThrow(problem);
  });

  test("versions must meet", async () => {
    const { port } = echo(tlsOf({ ...of(server), protocols: "TLSv1.3" }));
    await expect(hello(tlsOf({ ...of(client), protocols: "TLSv1.2" }), port)).rejects.toThrow(
      "no version of TLS that is allowed",
    );
    const two = echo(tlsOf({ ...of(server), protocols: "TLSv1.2" }));
    expect(await hello(tlsOf(of(client)), two.port)).toBe("hello");
    expect(log.at(-1)).toContain("TLSv1.2");
  });

  test("ciphers must meet", async () => {
    const settings = (identity: Identity, ciphers: string) =>
      tlsOf({ ...of(identity), protocols: "TLSv1.2", ciphers });
    const { port } = echo(settings(server, "ECDHE-ECDSA-AES128-GCM-SHA256"));
    await expect(hello(settings(client, "ECDHE-ECDSA-AES256-GCM-SHA384"), port)).rejects.toThrow(
      "ciphers",
    );
    expect(await hello(settings(client, "HIGH:!aNULL:!MD5"), port)).toBe("hello");
  });

  test("CA none: nobody is checked, with a warning", async () => {
    log.length = 0;
    const { port } = echo(tlsOf({ ...server, caCert: "none" }));
    expect(await hello(tlsOf({ ...stranger, caCert: "none" }), port)).toBe("hello");
    expect(log[0]).toContain("insecure");
  });

  test("bootstrap stores the CA once, read-only, and then insists on it", async () => {
    const { port } = echo(tlsOf(of(server)));
    const file = join(dir, "learnt.pem");
    const tls = tlsOf({ ...client, bootstrapCaCert: file });
    expect(() => listenTls(tls, { name: "p", hostname: "", port: 0, data: 0, socket: {} })).toThrow(
      `${file} is not there yet`,
    );
    expect(existsSync(file)).toBe(false);
    await expect(hello(tls, port)).rejects.toThrow("connecting again");
    expect(await hello(tls, port)).toBe("hello");
    const false_ = echo(tlsOf({ ...stranger, caCert: ca.certificate }));
    await expect(hello(tls, false_.port)).rejects.toThrow("not signed by the CA");
    expect(statSync(file).mode & 0o777).toBe(0o444);
  });

  test("bootstrap from a server that does not send its CA fails and stores nothing", async () => {
    const { port } = echo(tlsOf({ ...stranger, caCert: ca.certificate }));
    const file = join(dir, "never.pem");
    await expect(hello(tlsOf({ ...client, bootstrapCaCert: file }), port)).rejects.toThrow(
      "--peer-ca-cert",
    );
    expect(existsSync(file)).toBe(false);
  });

  test("changed files are taken up on the same port; who is connected stays", async () => {
    let settings = of(server);
    const { port, opened } = echo(tlsOf(() => settings), { refreshMs: 5 });
    const answers: string[] = [];
    const held = await connectTls<undefined>(tlsOf(of(client)), {
      hostname: "127.0.0.1",
      port,
      data: undefined,
      socket: { data: (_, bytes) => void answers.push(bytes.toString()) },
    });
    await eventually("it is let in", () => opened.length === 1);
    settings = { ...settings, caCert: otherCa.certificate };
    const newcomer = tlsOf({ ...stranger, caCert: ca.certificate });
    await eventually(
      "the other CA counts",
      () => hello(newcomer, port).then((answer) => answer === "hello", () => false),
    );
    expect(await hello(tlsOf(of(client)), port).catch(() => "closed")).toBe("closed");
    held.write("still here");
    await eventually("it is answered", () => answers.join("") === "still here");
    settings = { ...settings, privateKey: "/nowhere" };
    log.length = 0;
    await eventually("the fault is logged", () => log.some((line) => line.includes("/nowhere")));
    expect(await hello(newcomer, port)).toBe("hello");
    held.terminate();
  });

  describe("bad handshakes", () => {
    const plain = (port: number, text: string) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const socket = Bun.connect({
        hostname: "127.0.0.1",
        port,
        socket: {
          open: (socket) => void (text && socket.write(text)),
          data() {},
          close: () => resolve(),
          end: (socket) => void socket.end(),
        },
      });
      return { closed: promise, socket };
    };

    test.each([
      ["GET / HTTP/1.1\r\n\r\n", "HTTP"],
      ['{"id":1,"method":"list_dbs","params":[]}', "does not speak TLS"],
      ["\x16\x03\x01\xff\xff" + "\xff".repeat(2000), ""],
    ])("garbage %j ends at once", async (text, problem) => {
      log.length = 0;
      const { port, opened } = echo(tlsOf(of(server)));
      await plain(port, text).closed;
      expect(opened).toEqual([]);
      await eventually("it is logged", () => log.some((line) => line.includes(problem)));
    });

    test("one that says nothing is ended in time", async () => {
      log.length = 0;
      const { port } = echo(tlsOf(of(server)), { timeoutMs: 30 });
      await plain(port, "").closed;
      expect(log.join()).toContain("not finished after 0.03 s");
    });

    test("a server that says nothing is given up in time", async () => {
      const mute = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      const { port } = mute;
      const connecting = connectTls(tlsOf(of(client)), {
        hostname: "127.0.0.1",
        port,
        data: undefined,
        socket: { data() {} },
        timeoutMs: 30,
      });
      await expect(connecting).rejects.toThrow("timed out");
      mute.stop(true);
    });

    test("1,000 that say nothing hold 256 places, log a little, and keep nobody out", async () => {
      log.length = 0;
      const { port } = echo(tlsOf(of(server)));
      let ended = 0;
      const idle = Array.from({ length: 1000 }, () => {
        const one = plain(port, "");
        void one.closed.then(() => ended++);
        return one;
      });
      const sockets = await Promise.all(idle.map(({ socket }) => socket));
      await eventually("the oldest are ended", () => ended >= 744);
      expect(await hello(tlsOf(of(client)), port)).toBe("hello");
      expect(ended).toBeLessThanOrEqual(745);
      expect(log.filter((line) => line.includes("WARN")).length).toBe(20);
      for (const socket of sockets) socket.terminate();
    }, 20_000);

    test("renegotiation is refused", async () => {
      const { port } = echo(tlsOf({ ...of(server), protocols: "TLSv1.2" }));
      const files = ["-key", client.privateKey, "-cert", client.certificate];
      const trust = ["-CAfile", ca.certificate];
      const argv = ["openssl", "s_client", "-connect", `127.0.0.1:${port}`, ...files, ...trust];
      const shell = `(sleep 0.2; echo R; sleep 0.5) | ${argv.join(" ")}`;
      const { stderr } = await run(["sh", "-c", shell]);
      expect(stderr).toContain("no renegotiation");
    });
  });
});
