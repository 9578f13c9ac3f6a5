// Figures as a person reads them. Null is a dash: what is not known is not shown.

const DASH = "–";
const known = (write) => (v) => (v === null || v === undefined ? DASH : write(v));
const signed = (v, digits) => (v < 0 ? "−" : "+") + Math.abs(v).toFixed(digits);

export const rate = known((v) => v.toFixed(v < 99.995 ? 2 : 1));
export const whole = known((v) => String(Math.round(v)).replace(/\B(?=(\d{3})+$)/g, "\u202f"));
export const ms = known((v) => v.toFixed(v < 10 ? 1 : 0));
export const fine = known((v) => v.toFixed(v < 1 ? 2 : 1));
export const step = known((v) => Math.abs(v).toFixed(4));
export const ppm = known((v) => `${signed(v, 1)} ppm`);
export const ev = known((v) => (Math.abs(v) < 0.05 ? "0" : signed(v, Number.isInteger(v) ? 0 : 1)) + " EV");
export const celsius = known((v) => `${v.toFixed(0)} °C`);

export const share = known((v) => {
  const percent = 100 * v;
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  return `${percent.toFixed(percent < 10 && percent > 0 ? 1 : 0)} %`;
});

export const bytes = known((v) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; v >= 1000 && i < units.length - 1; i++) v /= 1000;
  return `${v.toFixed(v < 10 && i > 1 ? 2 : v < 100 && i > 1 ? 1 : 0)} ${units[i]}`;
});

export const exposure = known((us) => {
  if (us < 1000) return `${us.toFixed(0)} µs`;
  if (us < 1e6) return `${(us / 1000).toFixed(us < 10000 ? 1 : 0)} ms`;
  return `${(us / 1e6).toFixed(1)} s`;
});

/** 3 h 12 min: for spans that are estimates. */
export const span = known((s) => {
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} days`;
});

/** 00:12:34 */
export const clock = known((s) =>
  [s / 3600, (s / 60) % 60, s % 60].map((part) => String(Math.floor(part)).padStart(2, "0")).join(":"),
);

/** "ring_full" as words. */
export const words = (name) => name.replaceAll("_", " ");
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
