/**
 * Makes messages.txt: for every fixture and version its name, its bytes as this code encodes them,
 * and what the stock `ovs-ofctl ofp-print` reads in them. Fails if stock cannot decode one. Look at
 * the text before committing a change. Run after changing a fixture:
 *
 *     bun tests/golden/openflow/generate-messages.ts
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "../../../src/openflow/codec.ts";
import { VERSION_NAMES } from "../../../src/openflow/version.ts";
import { FIXTURES } from "../../unit/openflow/fixtures.ts";

const blocks: string[] = [];
for (const { name, message, versions, opaque } of FIXTURES) {
  for (const version of versions) {
    const bytes = Buffer.from(encode(version, 0x77, message)).toString("hex");
    const run = Bun.spawnSync(["ovs-ofctl", "ofp-print", bytes, "2"]);
    const text = run.stdout.toString().trimEnd().replaceAll("\n\n", "\n");
    if (opaque) {
      blocks.push(`${VERSION_NAMES[version]} ${name}\n${bytes}\n(not printed by stock)`);
      continue;
    }
    if (run.exitCode !== 0 || text.includes("***decode error")) {
      throw new Error(`${VERSION_NAMES[version]} ${name}: ${text}${run.stderr.toString()}`);
    }
    blocks.push(`${VERSION_NAMES[version]} ${name}\n${bytes}\n${text}`);
  }
}
writeFileSync(join(import.meta.dirname, "messages.txt"), `${blocks.join("\n\n")}\n`);
