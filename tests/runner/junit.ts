/** Counts of a run of `bun test`, read from the report of its junit reporter. */

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  /** Why tests were skipped, as the names of their groups say, or else which; how many tests each. */
  reasons: Map<string, number>;
}

export function noCounts(): Counts {
  return { passed: 0, failed: 0, skipped: 0, reasons: new Map() };
}

export function add(total: Counts, more: Counts): void {
  total.passed += more.passed;
  total.failed += more.failed;
  total.skipped += more.skipped;
  for (const [reason, count] of more.reasons) {
    total.reasons.set(reason, (total.reasons.get(reason) ?? 0) + count);
  }
}

function unescapeXml(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'").replaceAll("&amp;", "&");
}

/** `group > test`, from a test case's attributes. */
function testName(attributes: string): string {
  const attribute = (name: string) => new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1];
  return [attribute("classname"), attribute("name")].filter(Boolean).join(" > ");
}

/** Reads a report. Each `<testcase>` is passed unless it holds `<failure>`, `<error>` or `<skipped>`. */
export function parseReport(xml: string): Counts {
  const counts = noCounts();
  for (const match of xml.matchAll(/<testcase\s([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const [, attributes = "", body = ""] = match;
    if (/<(?:failure|error)[\s>/]/.test(body)) counts.failed++;
    else if (/<skipped[\s>/]/.test(body)) {
      counts.skipped++;
      const names = unescapeXml(attributes.replaceAll("&quot;", "'"));
      const reason = /\[skipped: ([^\]]*)\]/.exec(names)?.[1] ?? testName(names);
      counts.reasons.set(reason, (counts.reasons.get(reason) ?? 0) + 1);
    } else counts.passed++;
  }
  return counts;
}
