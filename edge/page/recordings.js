// The list of recordings: look, download, keep, delete.

import { change, get, loggedIn, Refused, startAccount } from "./api.js";
import { $, el, rows, set } from "./dom.js";
import * as f from "./format.js";

const PERIOD_MS = 5000;
const STATES = { recording: "recording now", clean: "complete", torn: "broke off, readable up to there", unreadable: "unreadable" };
const open = new Map();
let sessions = [];
let doomed = null;

async function update() {
  if (!document.hidden) {
    try {
      sessions = (await get("/api/sessions")).sessions;
      show();
      document.body.dataset.updates = Number(document.body.dataset.updates ?? 0) + 1;
    } catch (error) {
      say(error instanceof Refused ? error.message : "No connection; this list is old.", true);
    }
  }
}

function show() {
  const all = sessions.reduce((sum, one) => sum + one.size_bytes, 0);
  set($("sum"), sessions.length ? `${sessions.length} ${sessions.length === 1 ? "recording" : "recordings"}, ${f.bytes(all)}` : "No recordings yet");
  rows($("sessions"), sessions, (one) => one.name, made, told);
}

function made(one) {
  const path = `/api/sessions/${encodeURIComponent(one.name)}`;
  const node = el(`<article class="session">
    <div class="thumb">no picture</div>
    <h2></h2><p class="state"></p>
    <p class="when num"></p>
    <div class="actions">
      <a class="button download" download>Download</a>
      <button type="button" class="button show-files" aria-expanded="false">Files</button>
      <button type="button" class="button keep owner" aria-pressed="false">Keep</button>
      <button type="button" class="button danger delete owner">Delete</button>
    </div>
    <div class="files" hidden></div>
  </article>`);
  const label = (css, word) => node.querySelector(css).setAttribute("aria-label", `${word} ${one.name}`);
  label(".download", "Download");
  label(".show-files", "Files of");
  label(".keep", "Keep");
  label(".delete", "Delete");
  set(node.querySelector("h2"), one.name);
  node.querySelector(".download").href = `${path}/session.tar`;
  node.querySelector(".show-files").addEventListener("click", () => files(node, path));
  node.querySelector(".keep").addEventListener("click", () => keep(node, one.name, path));
  node.querySelector(".delete").addEventListener("click", () => ask(one.name));
  return node;
}

function told(node, one) {
  const when = one.started_utc ? new Date(one.started_utc).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "date unknown";
  const length = one.seconds === null ? "length unknown" : f.clock(one.seconds);
  set(node.querySelector(".when"), `${when}, ${length}, ${f.bytes(one.size_bytes)}`);
  const state = node.querySelector(".state");
  state.className = `state ${one.state}`;
  set(state, STATES[one.state] + (one.kept ? ", kept" : ""));
  const thumb = node.querySelector(".thumb");
  if (one.picture && !thumb.querySelector("img")) {
    const image = new Image();
    image.loading = "lazy";
    image.alt = `Contact picture of ${one.name}`;
    image.src = `/api/sessions/${encodeURIComponent(one.name)}/picture.jpg`;
    thumb.replaceChildren(image);
  }
  const keeper = node.querySelector(".keep");
  keeper.setAttribute("aria-pressed", String(one.kept));
  set(keeper, one.kept ? "Release" : "Keep");
  for (const button of node.querySelectorAll(".owner")) button.hidden = !loggedIn();
  const gone = node.querySelector(".delete");
  gone.disabled = one.kept || one.state === "recording";
  gone.title = one.kept ? "Release it first" : one.state === "recording" ? "It is being recorded" : "";
}

async function files(node, path) {
  const button = node.querySelector(".show-files");
  const list = node.querySelector(".files");
  const wanted = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(wanted));
  list.hidden = !wanted;
  if (!wanted) return;
  await attempt(async () => {
    const facts = await get(path);
    rows(list, facts.files, (file) => file.path, (file) => {
      const link = el("<a download><span></span><span class=\"num\"></span></a>");
      link.href = `${path}/files/${file.path.split("/").map(encodeURIComponent).join("/")}`;
      return link;
    }, (link, file) => {
      set(link.children[0], file.path);
      set(link.children[1], f.bytes(file.size_bytes));
    });
  });
}

async function keep(node, name, path) {
  const kept = node.querySelector(".keep").getAttribute("aria-pressed") !== "true";
  await attempt(async () => {
    await change("PUT", `${path}/kept`, { kept });
    say(kept ? `${name} is kept: it is not deleted to make room.` : `${name} is released.`);
    await update();
  });
}

function ask(name) {
  doomed = sessions.find((one) => one.name === name) ?? null;
  if (!doomed) return;
  set($("deleting-what"), `${name}, ${f.bytes(doomed.size_bytes)}`);
  $("deleting").showModal();
  $("delete-no").focus();
}

async function remove() {
  const { name } = doomed;
  $("deleting").close();
  await attempt(async () => {
    await change("DELETE", `/api/sessions/${encodeURIComponent(name)}`, { confirm: name });
    say(`${name} is deleted.`);
    await update();
  });
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    say(error instanceof Refused ? error.message : "No connection.", true);
  }
}

function say(text, bad = false) {
  set($("said"), text);
  $("said").classList.toggle("bad", bad);
}

$("delete-no").addEventListener("click", () => $("deleting").close());
$("delete-yes").addEventListener("click", remove);
document.addEventListener("visibilitychange", update);
await startAccount(show);
await update();
setInterval(update, PERIOD_MS);
