// Numbers as people read them. Pure.

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A number of bytes in the largest unit that keeps it at least 1: "1.2 KiB". */
export function bytesText(count) {
  let value = count;
  let unit = 0;
  while (Math.round(value) >= 1000 && unit < SIZES.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 99.95 ? value.toFixed(1) : value.toFixed(0)} ${SIZES[unit]}`;
}

/** Bytes per second; a dash for silence, so that the eye finds what moves. */
export function rateText(rate) {
  return rate < 0.5 ? "–" : `${bytesText(rate)}/s`;
}

/** A duration in at most two units: "4m 05s". */
export function ageText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (size, unit, part, smaller) =>
    `${Math.floor(whole / size)}${unit} ${String(Math.floor((whole % size) / part)).padStart(2, "0")}${smaller}`;
  if (whole >= 86400) return two(86400, "d", 3600, "h");
  if (whole >= 3600) return two(3600, "h", 60, "m");
  if (whole >= 60) return two(60, "m", 1, "s");
  return `${whole}s`;
}

/** "1 port", "2 ports", "10,000 ports". */
export function countText(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

/** The `points` of the area between `baseline` and `samples`, drawn up (`sign` 1) or down (-1). */
export function areaPoints(samples, peak, { width, height, baseline, sign }) {
  const step = width / (samples.length - 1);
  const scale = peak > 0 ? (sign * height) / peak : 0;
  const points = Array.from(samples, (value, index) =>
    `${(index * step).toFixed(1)},${(baseline - value * scale).toFixed(1)}`);
  return [`0,${baseline}`, ...points, `${width},${baseline}`].join(" ");
}
