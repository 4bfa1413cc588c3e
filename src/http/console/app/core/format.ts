/** Numbers as people read them. */

const scaled = (value: number, units: readonly string[]): string => {
  let unit = 0;
  let rest = value;
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  const digits = unit === 0 || rest >= 100 ? 0 : rest >= 10 ? 1 : 2;
  return `${rest.toFixed(digits)} ${units[unit]}`;
};

export const bitRate = (bps: number): string =>
  scaled(bps, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);
export const bytes = (value: number): string => scaled(value, ["B", "kB", "MB", "GB", "TB", "PB"]);
/** `1.2 k`, `34 M`: packets and the like. */
export const short = (value: number): string => scaled(value, ["", "k", "M", "G", "T"]).trimEnd();
export const count = (value: number | null | undefined): string =>
  value === null || value === undefined ? "–" : value.toLocaleString("en");

export function duration(seconds: number): string {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]] as const;
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  let rest = seconds;
  return parts.slice(first, first + 2).flatMap(([size, unit]) => {
    const n = Math.floor(rest / size);
    rest -= n * size;
    return n === 0 ? [] : [`${n} ${unit}`];
  }).join(" ");
}

/** `4:05`, as a countdown. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n: number): string => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Local date and time. */
export function moment(time: string | number): string {
  const date = new Date(time);
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
