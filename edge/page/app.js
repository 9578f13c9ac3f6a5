// Brings the figures to the panels, and says so loudly when there are none.

import * as aids from "./aids.js";
import { $, el, rows, set, value } from "./dom.js";
import * as f from "./format.js";
import * as light from "./light.js";
import { Link } from "./link.js";
import * as panels from "./panels.js";
import { LivePicture } from "./picture.js";

const picture = new LivePicture();
aids.start((on) => picture.zebra(on), () => picture.view);
let pageId = null;
let last = null;

function onStatus(status) {
  // The server was upgraded under this page: its figures may have other names.
  if (pageId !== null && pageId !== status.page) location.reload();
  pageId = status.page;
  last = status;
  head(status);
  alerts(status);
  for (const panel of Object.values(panels)) panel(status);
  light.exposures(status);
  light.flicker(status);
  aids.show(status, picture.view);
  picture.label(light.tags(status));
  picture.explain(f.capital(status.events[0]?.text ?? ""));
  log(status);
  document.body.dataset.updates = Number(document.body.dataset.updates ?? 0) + 1;
}

function onState(state) {
  document.body.dataset.link = state;
  if (state === "lost") {
    set($("link"), "Connection lost");
    document.title = "Connection lost, twinhdr";
    alerts(last ?? { beats: [], conditions: [] }, link.age);
  }
}

function head(status) {
  const session = value(status, "texts", "session");
  const seconds = value(status, "gauges", "session_s");
  const faults = troubles(status).length;
  set($("session"), session ?? "No session");
  set($("duration"), seconds === null ? "" : f.clock(seconds));
  $("rec").classList.toggle("on", seconds !== null);
  set($("link"), faults ? `Live, ${faults} to look at` : "Live");
  $("link").classList.toggle("faulty", faults > 0);
  const fps = f.rate(value(status, "rates", "frames", "fused"));
  document.title = `${faults ? `(${faults}) ` : ""}${fps} fps, ${session ?? "twinhdr"}`;
}

/** Everything that is not as it should be, worst first. */
function troubles(status) {
  const stuck = status.beats.filter((b) => !b.ok).map((b) => ({
    key: `stage/${b.stage}`, severity: "error", title: `Stage ${b.stage} does not move`,
    text: `It should every ${f.span(b.limit_s)}.`, todo: "It is restarted by itself; if this stays, restart twinhdr.", since_s: b.age_s,
  }));
  const untrue = status.conditions.filter((c) => !c.ok).map((c) => ({ ...c, key: c.name, title: f.capital(f.words(c.name)) }));
  return [...stuck, ...untrue].sort((a, b) => (a.severity === "error" ? 0 : 1) - (b.severity === "error" ? 0 : 1));
}

function alerts(status, silent_s = null) {
  let all = troubles(status);
  if (silent_s !== null) {
    all = [{
      key: "link", severity: "error", title: "Connection lost", text: `These figures are ${f.span(silent_s)} old.`,
      todo: "twinhdr has stopped, or the network to it is down. This page comes back by itself.", since_s: null,
    }];
  }
  rows($("alerts"), all, (t) => t.key,
    () => el('<div class="alert"><b></b><span class="todo"></span><span class="since num"></span></div>'),
    (node, t) => {
      node.className = `alert ${t.severity}`;
      set(node.children[0], t.title);
      set(node.children[1], [t.text, t.todo].filter(Boolean).join(" "));
      set(node.children[2], t.since_s === null || t.since_s < 2 ? "" : `for ${f.span(t.since_s)}`);
    });
}

function log(status) {
  rows($("conditions"), status.conditions, (c) => c.name, () => el("<li></li>"), (node, c) => {
    node.className = c.ok ? "" : c.severity;
    set(node, f.capital(f.words(c.name)));
    const said = c.ok ? "as it should be" : c.text;
    if (node.title !== said) node.title = said;
  });
  const good = status.conditions.filter((c) => c.ok).length;
  const all = status.conditions.length;
  set($("conditions-sum"), all && good === all ? `all ${all} as they should be` : all ? `${good} of ${all} as they should be` : "");
  $("log").hidden = !status.events.length;
  rows($("events"), status.events.slice(0, 6), (e) => `${Math.round(status.t_ns / 1e9 - e.age_s)} ${e.text}`,
    () => el("<li><span></span><span></span></li>"),
    (node, e) => {
      set(node.children[0], `${f.span(e.age_s)} ago`);
      set(node.children[1], e.text);
    });
}

const link = new Link("/api/events", { onStatus, onState });
