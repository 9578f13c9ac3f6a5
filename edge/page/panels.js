// One function per panel: status in, page changed. Names of figures: edge/health/series.py.

import { $, el, rows, set, value } from "./dom.js";
import * as f from "./format.js";

const STREAMS = ["reference", "secondary", "fused"];
const RUNGS = [
  ["reference", "Reference"],
  ["merge", "Merge"],
  ["small_model", "Small model"],
  ["model", "Full model"],
];
const STAGES = ["capture", "develop", "register", "fuse", "tonemap", "encode", "store"];
const SAME_RATE = 0.97;

const percent = (v) => `${Math.max(0, Math.min(100, v)).toFixed(2)}%`;

export function rates(status) {
  const reference = value(status, "rates", "frames", "reference");
  rows($("rates"), STREAMS, (s) => s,
    (s) => el(`<div class="${s}"><dt>${f.capital(s)}</dt><dd></dd><dd class="total"></dd></div>`),
    (node, s) => {
      const now = value(status, "rates", "frames", s);
      const behind = s === "fused" && reference > 0 && now < SAME_RATE * reference;
      const [figure, total] = node.querySelectorAll("dd");
      set(figure, f.rate(now));
      figure.classList.toggle("warn", behind);
      set(total, `${f.whole(value(status, "totals", "frames", s))} frames`);
    });
}

export function lost(status) {
  const causes = Object.entries(status.totals.drops ?? {}).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  const all = causes.reduce((sum, [, n]) => sum + n, 0);
  const frames = status.totals.frames ?? {};
  const received = (frames.reference ?? 0) + (frames.secondary ?? 0);
  const node = $("lost");
  if (!node.firstChild) node.append(el("<b></b>"), el('<span class="quiet"></span>'));
  set(node.children[0], all ? f.whole(all) : received ? "None" : "–");
  node.children[0].className = all ? "warn" : received ? "good" : "";
  set(node.children[1], !received ? "none received yet" : `of ${f.whole(received)} received${all ? `, ${f.share(all / (received + all))}` : ""}`);
  rows($("drops"), causes, ([key]) => key, () => el("<li><span></span><span></span></li>"), (row, [key, n]) => {
    const [stage, cause] = key.split("/");
    set(row.children[0], `${f.capital(f.words(stage))}: ${f.words(cause)}`);
    set(row.children[1], f.whole(n));
  });
}

export function ladder(status) {
  const rung = value(status, "gauges", "rung");
  const counts = status.totals.rung_frames ?? {};
  const all = Object.values(counts).reduce((sum, n) => sum + n, 0);
  const level = rung === null ? -1 : 3 - rung;
  rows($("ladder"), RUNGS, ([name]) => name,
    ([, title]) => el(`<li><span>${title}</span><span class="share"></span></li>`),
    (node, [name]) => {
      const step = RUNGS.findIndex(([n]) => n === name);
      node.style.setProperty("--step", step);
      node.className = [step <= level && "lit", step === level && "now", step === 0 && "last-rung", step === 1 && "low-rung"]
        .filter(Boolean).join(" ");
      if (step === level) node.setAttribute("aria-current", "step");
      else node.removeAttribute("aria-current");
      set(node.children[1], all ? f.share((counts[name] ?? 0) / all) : "");
    });
  set($("model"), value(status, "texts", "model") ?? "");
  set($("rung-reason"), f.capital(value(status, "texts", "rung_reason") ?? ""));
}

export function ages(status) {
  const limit = value(status, "gauges", "age_limit_ms");
  const spreads = status.spreads.age_ms ?? {};
  const top = Math.max(limit ?? 0, ...Object.values(spreads).map((s) => s.p95), 1) * 1.06;
  rows($("ages"), ["low", "high"], (e) => e,
    (e) => el(`<div class="age ${e}"><span>${f.capital(e)}</span>
      <span class="track"><i class="range"></i><i class="dot"></i><i class="limit"></i></span><span class="num"></span></div>`),
    (node, e) => {
      const s = spreads[e];
      const [range, dot, mark] = node.querySelectorAll("i");
      range.style.width = percent((100 * (s?.p95 ?? 0)) / top);
      dot.style.left = percent((100 * (s?.p50 ?? 0)) / top);
      dot.hidden = !s;
      mark.hidden = limit === null;
      mark.style.left = percent((100 * (limit ?? 0)) / top);
      const figure = node.lastElementChild;
      set(figure, s ? `${f.ms(s.p50)}, p95 ${f.ms(s.p95)}` : "–");
      figure.classList.toggle("warn", Boolean(s) && limit !== null && s.p95 > limit);
    });
  set($("age-limit"), limit === null ? "ms" : `ms, limit ${f.whole(limit)}`);
}

function facts(parent, entries) {
  rows(parent, entries, ([name]) => name, ([name]) => el(`<div><dt>${name}</dt><dd></dd></div>`),
    (node, [, text, tone = ""]) => {
      set(node.lastElementChild, text);
      node.lastElementChild.className = tone;
    });
}

export function store(status) {
  const g = (name) => value(status, "gauges", name);
  const left = g("disk_left_s");
  const recorded = Object.values(status.totals.recorded_bytes ?? {}).reduce((sum, n) => sum + n, 0);
  set($("source"), value(status, "texts", "source") ?? "");
  facts($("store"), [
    ["Disk free", f.bytes(g("disk_free_bytes"))],
    ["Room for", f.span(left), left !== null && left < 600 ? "bad" : left !== null && left < 3600 ? "warn" : ""],
    ["Recorded", f.bytes(recorded)],
    ["In encoder", f.whole(g("encoder_backlog"))],
  ]);
}

export function machine(status) {
  const g = (name) => value(status, "gauges", name);
  const heat = g("cpu_celsius");
  const residual = value(status, "gauges", "pair_residual_ms", "p99") ?? g("clock_residual_ms");
  const skew = g("start_skew_us");
  facts($("machine"), [
    ["Drift", f.ppm(g("clock_drift_ppm"))],
    ["CPU", f.celsius(heat), heat > 85 ? "warn" : ""],
    ["Residual", residual === null ? "–" : `${f.fine(residual)} ms`, residual > 1 ? "warn" : ""],
    ["Memory", f.bytes(g("rss_bytes"))],
    ["Start skew", f.exposure(skew), skew > 1000 ? "warn" : ""],
    ["Began apart", g("start_apart_ms") === null ? "–" : `${f.fine(Math.abs(g("start_apart_ms")))} ms`],
  ]);
  const depths = Object.entries(status.gauges.ring_depth ?? {});
  rows($("rings"), depths, ([name]) => name,
    () => el('<div class="ring"><span></span><span class="num"></span><i></i></div>'),
    (node, [name, depth]) => {
      const capacity = value(status, "gauges", "ring_capacity", name);
      set(node.children[0], f.capital(f.words(name)));
      set(node.children[1], capacity === null ? f.whole(depth) : `${f.whole(depth)}/${f.whole(capacity)}`);
      node.children[2].style.setProperty("--full", percent(capacity ? (100 * depth) / capacity : 0));
      node.classList.toggle("high-water", Boolean(capacity) && depth > 0.8 * capacity);
    });
}

export function cost(status) {
  const due = value(status, "gauges", "deadline_ms");
  const spreads = status.spreads.stage_ms ?? {};
  const names = [...STAGES, ...Object.keys(spreads).filter((s) => !STAGES.includes(s))].filter((s) => s in spreads);
  const top = Math.max((due ?? 0) * 1.04, ...names.map((s) => spreads[s].p95), 1);
  set($("deadline"), due === null ? "p50 p95, ms" : `p50 p95, ms of ${f.fine(due)}`);
  rows($("bars"), names, (s) => s,
    () => el('<div class="bar"><span></span><span class="field"><i class="p95"></i><i class="p50"></i><i class="due"></i></span><span class="num"><b></b> <span></span></span></div>'),
    (node, name) => {
      const { p50, p95 } = spreads[name];
      const [wide, bar, mark] = node.querySelectorAll("i");
      set(node.children[0], f.capital(f.words(name)));
      wide.style.width = percent((100 * p95) / top);
      bar.style.width = percent((100 * p50) / top);
      mark.hidden = due === null;
      mark.style.left = percent((100 * (due ?? 0)) / top);
      set(node.querySelector("b"), f.ms(p50));
      set(node.querySelector(".num span"), f.ms(p95));
      node.classList.toggle("over", due !== null && p95 > due);
    });
}
