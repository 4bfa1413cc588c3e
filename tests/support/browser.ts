/** Debian's Chromium, driven by Playwright, inside a namespace. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import type { Namespace, Sandbox } from "./netns.ts";
import { ROOT } from "./switch.ts";

/** Where pictures of pages are left; not in the repository. */
export const PICTURES = join(ROOT, "test-results/console");

export class TestBrowser {
  /** What a page complained of: a test that passes with complaints has not looked. */
  readonly complaints: string[] = [];

  private constructor(readonly browser: Browser) {}

  static async start(sandbox: Sandbox, ns: Namespace): Promise<TestBrowser> {
    // Playwright talks to it by pipes, which go through `ip netns exec`.
    const launcher = join(sandbox.tempDir("browser"), "chromium");
    const command = ns.wrap([Bun.which("chromium") ?? "chromium"]).join(" ");
    writeFileSync(launcher, `#!/bin/sh\nexec ${command} "$@"\n`);
    chmodSync(launcher, 0o755);
    const browser = await chromium.launch({
      executablePath: launcher,
      // As root it has no sandbox; without a GPU it need not look for one.
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
      timeout: 60_000,
    });
    return new TestBrowser(browser);
  }

  async open(): Promise<{ context: BrowserContext; page: Page }> {
    const context = await this.browser.newContext({
      viewport: { width: 1360, height: 860 },
      locale: "en-US",
      acceptDownloads: true,
    });
    context.setDefaultTimeout(Number(process.env.SOLOVS_BROWSER_TIMEOUT_MS ?? 30_000));
    const page = await context.newPage();
    page.on("pageerror", (error) => this.complaints.push(`${error.message}\n${error.stack}`));
    page.on("console", (message) => {
      // Browsers log refusals: the first question is answered by 401, wrong input by 400.
      if (message.type() !== "error" || /status of 40[01]/.test(message.text())) return;
      this.complaints.push(message.text());
    });
    return { context, page };
  }

  async close(): Promise<void> {
    await this.browser.close();
  }
}

export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}
