/** Certificates that are made here are ones that others understand. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSideFile } from "../../../src/db/storage/sqlite.ts";
import {
  CertificateError,
  keptCertificate,
  makeCertificate,
  readCertificate,
} from "../../../src/http/certificate.ts";
import { startHttp } from "../../../src/http/server.ts";
import { LogSink } from "../../../src/log/log.ts";
import { Bench } from "./source.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "solovs-certificate-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

test("a certificate says who it is for, and is signed by its own key", () => {
  const { certificate, fingerprint } = makeCertificate([
    "switch.example",
    "192.0.2.1",
    "2001:db8::1",
  ]);
  const read = new X509Certificate(certificate);
  expect(read.subjectAltName).toContain("DNS:switch.example");
  expect(read.checkHost("switch.example")).toBe("switch.example");
  expect(read.checkIP("192.0.2.1")).toBe("192.0.2.1");
  expect(read.subjectAltName).toMatch(/2001:DB8/i);
  expect(read.verify(read.publicKey)).toBe(true);
  expect(read.fingerprint256).toBe(fingerprint);
  expect(Date.parse(read.validFrom)).toBeLessThan(Date.now());
  expect(Date.parse(read.validTo)).toBeGreaterThan(Date.now() + 10 * 365 * 24 * 3600_000);
  expect(read.ca).toBe(false);
});

test("one that was made is kept, its key for the owner alone", () => {
  const files = { certificate: join(directory, "a.crt"), privateKey: join(directory, "a.key") };
  const first = keptCertificate(files, []);
  expect(keptCertificate(files, []).fingerprint).toBe(first.fingerprint);
  expect(statSync(files.privateKey).mode & 0o777).toBe(0o600);
});

test("files that are none are named", () => {
  const file = join(directory, "none.crt");
  expect(() => readCertificate({ certificate: file, privateKey: file })).toThrow(CertificateError);
  writeFileSync(file, "nothing");
  expect(() => readCertificate({ certificate: file, privateKey: file })).toThrow(/no certificate/);
});

describe("the server", () => {
  test("speaks HTTPS with it, and its cookies are for HTTPS alone", async () => {
    const bench = await Bench.open();
    const side = openSideFile(":memory:");
    const lines: string[] = [];
    const server = startHttp({
      address: "127.0.0.1",
      port: 0,
      parts: bench.parts,
      sideTables: side.tables,
      logger: new LogSink((line) => lines.push(line)).logger("http"),
      tls: {
        certificate: join(directory, "s.crt"),
        privateKey: join(directory, "s.key"),
        own: false,
      },
    });
    try {
      expect(server.url).toStartWith("https://127.0.0.1:");
      expect(lines.join("\n")).toContain("fingerprint is ");
      const tls = { rejectUnauthorized: false };
      expect((await fetch(`${server.url}/healthz`, { tls })).status).toBe(200);
      const token = new URL(server.setupUrl!).hash.slice("#setup=".length);
      const body = JSON.stringify({ token, name: "ann", password: "a long password" });
      const made = await fetch(`${server.url}/api/v1/setup`, { method: "POST", body, tls });
      expect(made.headers.get("set-cookie")).toEndWith("; Secure");
      const plain = server.url.replace("https", "http");
      await expect(fetch(`${plain}/healthz`)).rejects.toThrow();
    } finally {
      await server.close();
      side.close();
      bench.close();
    }
  });
});
