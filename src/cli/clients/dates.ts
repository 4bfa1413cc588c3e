/** Dates as C's `strftime` writes them, as far as log patterns and time stamps use it. */

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** `#` stands for a digit of the fraction of a second. */
export function formatDate(pattern: string, date: Date, utc: boolean): string {
  const shifted = utc ? date : new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  const iso = shifted.toISOString();
  const parts: Readonly<Record<string, string>> = {
    "%Y": iso.slice(0, 4),
    "%m": iso.slice(5, 7),
    "%d": iso.slice(8, 10),
    "%H": iso.slice(11, 13),
    "%M": iso.slice(14, 16),
    "%S": iso.slice(17, 19),
    "%T": iso.slice(11, 19),
    "%e": iso.slice(8, 10).replace(/^0/, " "),
    "%h": MONTHS[Number(iso.slice(5, 7)) - 1]!,
    "%%": "%",
  };
  const fraction = iso.slice(20, 23);
  return pattern
    .replace(/%./g, (directive) => parts[directive] ?? directive)
    .replace(/#+/, (digits) => fraction.padEnd(digits.length, "0").slice(0, digits.length));
}
