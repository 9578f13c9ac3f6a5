// Viewing aids on the picture: zebra, histogram of the exposures, focus figure. Each stays as it was left.

import { $, rows, set, value } from "./dom.js";
import * as f from "./format.js";

const SHOWN = { split: ["reference", "fused"], fused: ["fused"], reference: ["reference"], low: ["low"], high: ["high"] };
const FOCUSED = { split: "reference", reference: "reference", low: "low", high: "high" };
const NEAR = 0.97;
const SVG = "http://www.w3.org/2000/svg";

let best = { of: "", figure: 0 };
let shown = () => {};

/** Set up the buttons; ``onZebra`` is told when the stripes are wanted. */
export function start(onZebra, view) {
  button("zebra", onZebra);
  button("histogram", (on) => { $("histogram").hidden = !on; shown(); });
  button("focus", (on) => { $("focus").hidden = !on; best = { of: "", figure: 0 }; shown(); });
  $("views").addEventListener("change", () => shown(view()));
}

export function show(status, view) {
  shown = (now = view) => {
    if (!$("histogram").hidden) histogram(status, SHOWN[now]);
    if (!$("focus").hidden) focus(status, FOCUSED[now]);
  };
  shown();
}

function button(name, tell) {
  const node = $(`${name}-on`);
  const turn = (on) => {
    node.setAttribute("aria-pressed", String(on));
    remember(name, on);
    tell(on);
  };
  node.addEventListener("click", () => turn(node.getAttribute("aria-pressed") !== "true"));
  if (remembered(name)) turn(true);
}

// A browser may refuse to keep anything; then each visit begins plain.
function remember(name, on) {
  try {
    localStorage.setItem(`twinhdr.${name}`, on ? "1" : "");
  } catch (refused) {
    console.debug(refused.message);
  }
}

function remembered(name) {
  try {
    return Boolean(localStorage.getItem(`twinhdr.${name}`));
  } catch {
    return false;
  }
}

function histogram(status, pictures) {
  const found = status.histograms?.exposure_histogram ?? {};
  const known = pictures.filter((picture) => found[picture]);
  // The ends gather all that is beyond the axis, and would press the rest flat.
  const top = Math.max(0.02, ...known.flatMap((picture) => found[picture].slice(1, -1)));
  rows($("histogram").querySelector("svg"), known, String, () => document.createElementNS(SVG, "path"), (path, picture) => {
    path.setAttribute("class", picture === "fused" ? "fused-colour" : picture);
    path.setAttribute("d", area(found[picture], top));
  });
  const words = known.map((picture) => `${f.capital(picture)}: ${f.share(found[picture].at(-1))} at full scale, ${f.share(found[picture][0])} below the axis`);
  set($("histogram-words"), words.join(". ") || "No picture yet");
}

function area(shares, top) {
  const wide = 200 / shares.length;
  const steps = shares.map((share, i) => {
    const y = (60 - 57 * Math.min(1, share / top)).toFixed(1);
    return `L${(i * wide).toFixed(1)} ${y}L${((i + 1) * wide).toFixed(1)} ${y}`;
  });
  return `M0 60${steps.join("")}L200 60Z`;
}

function focus(status, camera) {
  const now = camera ? value(status, "gauges", "sharpness", camera) : null;
  if (camera && best.of !== camera) best = { of: camera, figure: 0 };
  best.figure = Math.max(best.figure, now ?? 0);
  const share = now === null || !best.figure ? 0 : now / best.figure;
  set($("focus-words"), camera ? `Sharpness, ${camera}` : "Choose Reference, Low or High");
  set($("focus-now"), now === null ? (camera ? "–" : "") : now.toFixed(1));
  const meter = $("focus-meter");
  meter.style.setProperty("--full", `${(100 * share).toFixed(0)}%`);
  meter.classList.toggle("far", share < NEAR);
  meter.setAttribute("aria-valuenow", (100 * share).toFixed(0));
  meter.setAttribute("aria-valuetext", now === null ? "not known" : `${(100 * share).toFixed(0)} % of the best so far`);
}
