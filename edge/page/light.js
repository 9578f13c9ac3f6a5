// The panels about light: exposures as spans of radiance, flicker, clipped and crushed shares.

import { $, el, rows, set, value } from "./dom.js";
import * as f from "./format.js";

const NAMES = ["low", "reference", "high"];
const USUAL_RANGE_EV = 10;
const WINDOW_S = 60;
const LEAST_FLICKER = 0.001;
const GAP_S = 5;

/** What each exposure sees, on an axis of radiance in stops; 0 saturates the reference. */
export function exposures(status) {
  const g = (name, label) => value(status, "gauges", name, label);
  const range = g("range_ev") ?? USUAL_RANGE_EV;
  const seen = NAMES.filter((name) => g("ev", name) !== null);
  const spans = seen.map((name) => ({ name, top: -g("ev", name), bottom: -g("ev", name) - range }));
  if (!spans.length) return;
  const fused = { name: "fused", top: Math.max(...spans.map((s) => s.top)), bottom: Math.min(...spans.map((s) => s.bottom)) };
  const alone = value(status, "gauges", "rung") === 3;
  const left = fused.bottom;
  const at = (ev) => (100 * (ev - left)) / (fused.top + 0.4 - left);
  const only = alone ? spans.find((s) => s.name === "reference") : fused;
  rows($("spans"), [...spans, { ...fused, ...only, name: "fused" }], (s) => s.name,
    (s) => el(`<div class="span"><span class="name">${f.capital(s.name)}<span></span></span><span class="field"><i></i></span><span class="num"></span></div>`),
    (node, s) => {
      const bar = node.querySelector("i");
      bar.className = s.name === "fused" ? "fused-colour" : s.name;
      bar.style.left = `${at(s.bottom).toFixed(2)}%`;
      bar.style.right = `${(100 - at(s.top)).toFixed(2)}%`;
      node.classList.toggle("idle", alone && (s.name === "low" || s.name === "high"));
      if (s.name !== "reference" && s.name !== "fused") set(node.querySelector(".name span"), f.ev(g("ev", s.name)));
      const wider = s.top - s.bottom - range;
      set(node.lastElementChild, s.name !== "fused" ? settings(g, s.name) : wider > 0.05 ? `${f.ev(wider)} wider` : "");
    });
  const ticks = [];
  for (let ev = Math.ceil(left / 4) * 4; ev <= fused.top; ev += 4) ticks.push(ev);
  rows($("axis"), ticks, String, () => el("<span></span>"), (node, ev) => {
    node.style.left = `${at(ev).toFixed(2)}%`;
    set(node, f.ev(ev).replace(" EV", ""));
  });
  causes(status, g);
}

/** Why each camera is exposed as it is; empty where exposures are fixed. */
function causes(status, g) {
  const texts = status.texts.exposure_cause ?? {};
  rows($("causes"), Object.keys(texts), String, () => el("<li></li>"), (node, camera) => {
    const off = camera === "reference" ? g("brightness_off_ev") : null;
    set(node, `${f.capital(camera)}${off === null ? "" : `, ${f.ev(off)} off its target`}: ${texts[camera]}`);
  });
}

function settings(g, name) {
  const gain = g("gain_db", name);
  const time = f.exposure(g("exposure_us", name));
  const lost = name === "low" ? g("clipped_share", "low") : name === "high" ? g("dark_share", "high") : null;
  const words = lost === null ? [] : [name === "low" ? `clips ${f.share(lost)}` : `${f.share(lost)} dark`];
  return [time, ...(gain ? [`${f.fine(gain)} dB`] : []), ...words].join(", ");
}

export function flicker(status) {
  const traces = status.traces.flicker ?? {};
  const values = Object.values(traces).flat().map(([, v]) => Math.abs(v));
  const top = Math.max(LEAST_FLICKER, ...values);
  rows($("spark"), ["reference", "fused"], (p) => p, () => document.createElementNS("http://www.w3.org/2000/svg", "path"),
    (path, picture) => {
      path.setAttribute("class", picture === "fused" ? "fused-colour" : picture);
      path.setAttribute("d", line(traces[picture] ?? [], top));
    });
  const now = (name, picture, write) => write(value(status, "gauges", name, picture));
  const pairs = $("flicker");
  if (!pairs.firstChild) {
    pairs.append(el("<dt></dt>"), el('<dd class="head reference">Reference</dd>'), el('<dd class="head fused-colour">Fused</dd>'));
    for (const title of ["Flicker now", "Clipped", "Crushed"]) pairs.append(el(`<dt>${title}</dt>`), el("<dd></dd>"), el("<dd></dd>"));
  }
  [["flicker", f.step], ["clipped_share", f.share], ["crushed_share", f.share]].forEach(([name, write], row) => {
    set(pairs.children[4 + 3 * row], now(name, "reference", write));
    set(pairs.children[5 + 3 * row], now(name, "fused", write));
  });
  const spoken = `Flicker now: reference ${now("flicker", "reference", f.step)}, fused ${now("flicker", "fused", f.step)}`;
  if ($("spark").getAttribute("aria-label") !== spoken) $("spark").setAttribute("aria-label", spoken);
}

/** A path through (age, value) points; silence leaves a gap. */
function line(points, top) {
  let last = null;
  return points
    .filter(([age]) => age <= WINDOW_S)
    .map(([age, v]) => {
      const joined = last !== null && last - age < GAP_S;
      last = age;
      return `${joined ? "L" : "M"}${(600 * (1 - age / WINDOW_S)).toFixed(1)} ${(100 - (96 * Math.abs(v)) / top).toFixed(1)}`;
    })
    .join("");
}

/** Words for the tags on the picture. */
export function tags(status) {
  const words = {};
  for (const picture of ["reference", "fused"]) {
    const clipped = value(status, "gauges", "clipped_share", picture);
    if (clipped !== null) words[picture] = `${f.share(clipped)} clipped`;
  }
  for (const name of ["low", "high"]) {
    const ev = value(status, "gauges", "ev", name);
    if (ev !== null) words[name] = f.ev(ev);
  }
  return words;
}
