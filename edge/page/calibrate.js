// Asks for the figures of the calibration twice a second and draws them over both pictures.

import { $, el, rows, set } from "./dom.js";

const PERIOD_MS = 500;
const FULL_PX = 0.5;

async function update() {
  try {
    const answer = await fetch("/api/calibration", { cache: "no-store" });
    if (answer.status === 404) {
      set($("advice"), "No calibration is running. On the device, end the recording and run: twinhdr calibrate --live");
      link("lost", "Not running");
      return;
    }
    if (!answer.ok) throw new Error(answer.statusText);
    show(await answer.json());
    link("live", "Live");
  } catch {
    link("lost", "No connection: the calibration has ended, or the network is down");
  }
  setTimeout(update, PERIOD_MS);
}

function link(state, text) {
  document.body.dataset.link = state;
  set($("link"), text);
}

function show(status) {
  const advice = status.mirrored
    ? "The picture is mirrored: turn off that camera's flip, or print the board unmirrored."
    : status.advice.text;
  set($("advice"), advice);
  $("advice").classList.toggle("done", status.done);
  $("advice").classList.toggle("bad", status.mirrored);
  document.body.classList.toggle("taken", status.taken);
  document.body.style.setProperty("--stage-ratio", `${status.size[0]} / ${status.size[1]}`);
  set($("views"), String(status.views));
  set($("rms"), status.rms_px === null ? "–" : `${status.rms_px.toFixed(3)} px`);
  set($("baseline"), status.baseline_mm === null ? "–" : `${status.baseline_mm.toFixed(1)} mm`);
  set($("problem"), status.problem);
  for (const name of ["reference", "secondary"]) eye(name, status);
  errors(status);
  document.body.dataset.updates = Number(document.body.dataset.updates ?? 0) + 1;
}

function eye(name, status) {
  const figure = $(name);
  set(figure.querySelector(".quiet"), `${status.seen[name]} of ${status.corners} corners`);
  const map = status.coverage[name];
  const [height, width] = [map.length, map[0].length];
  const cover = figure.querySelector(".cover");
  cover.style.gridTemplate = `repeat(${height}, 1fr) / repeat(${width}, 1fr)`;
  const cells = map.flatMap((row, y) => row.map((count, x) => ({ x, y, count })));
  rows(cover, cells, (c) => `${c.x} ${c.y}`, () => document.createElement("i"), (node, c) => {
    const place = status.advice.place;
    const third = [Math.floor((3 * c.x) / width), Math.floor((3 * c.y) / height)];
    node.classList.toggle("seen", c.count > 0);
    node.classList.toggle("next", place !== null && place[0] === third[0] && place[1] === third[1]);
  });
}

function errors(status) {
  const views = Object.entries(status.view_rms_px);
  rows($("errors"), views, ([name]) => name, () => el("<li></li>"), (node, [name, px]) => {
    node.style.height = `${Math.min(100, (100 * px) / FULL_PX)}%`;
    node.classList.toggle("bad", px > FULL_PX / 2);
    node.title = `${name}: ${px.toFixed(3)} px`;
  });
}

update();
