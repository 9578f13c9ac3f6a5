// The page's layer of the configuration: judged while one types, faults at their lines, saved only if good.

import { change, get, loggedIn, Refused, startAccount } from "./api.js";
import { $, el, rows, set } from "./dom.js";

const QUIET_MS = 400;
let saved = "";
let timer = 0;
let asked = 0;

async function account(now) {
  const text = $("text");
  text.disabled = !now.logged_in;
  if (!now.logged_in) {
    verdict(now.password_set ? "Log in to read and change them." : "To change them here, set a password on the device: sudo twinhdr password");
    buttons();
    return;
  }
  await attempt(async () => {
    const layer = await get("/api/config");
    set($("file"), layer.file);
    saved = layer.text;
    if (!text.value) text.value = layer.text;
    await judge();
  });
}

/** Ask for the verdict on what stands there now; a later question makes an earlier answer void. */
async function judge() {
  const mine = ++asked;
  number();
  const said = await change("POST", "/api/config/check", { text: $("text").value });
  if (mine === asked) show(said);
}

function show(said) {
  const count = said.faults.length;
  $("text").setAttribute("aria-invalid", String(count > 0));
  rows($("faults"), said.faults, (one) => `${one.line} ${one.text}`,
    () => el('<button type="button"><span class="num"></span><span></span></button>'),
    (node, one) => {
      set(node.children[0], one.line === null ? "" : `Line ${one.line}`);
      set(node.children[1], one.text);
      node.onclick = () => select(one.line);
    });
  number(new Set(said.faults.map((one) => one.line)));
  $("changes-panel").hidden = !said.changes.length;
  rows($("changes"), said.changes, (one) => one.key, () => {
    const row = document.createElement("tr");
    row.append(...[0, 1, 2].map(() => document.createElement("td")));
    return row;
  }, (row, one) => {
    set(row.children[0], one.key);
    set(row.children[1], one.value);
    set(row.children[2], one.counts);
    row.children[2].className = one.restart ? "restart" : "";
  });
  const waits = said.changes.filter((one) => one.restart).length;
  if (count) verdict(`${count} ${count === 1 ? "fault" : "faults"}: nothing can be saved`);
  else if (!said.changes.length) verdict($("text").value === saved ? "As saved" : "No key changes");
  else verdict(`${said.changes.length} to change${waits ? `, ${waits} after a restart` : ", at once"}`);
  buttons(count);
  document.body.dataset.judged = Number(document.body.dataset.judged ?? 0) + 1;
}

function number(bad = new Set()) {
  const count = $("text").value.split("\n").length;
  rows($("lines"), Array.from({ length: count }, (_, i) => i + 1), String, () => el("<span></span>"), (node, line) => {
    set(node, String(line));
    node.classList.toggle("bad", bad.has(line));
  });
  $("lines").scrollTop = $("text").scrollTop;
}

function select(line) {
  if (line === null) return;
  const text = $("text");
  const before = text.value.split("\n").slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  const end = text.value.indexOf("\n", before);
  text.focus();
  text.setSelectionRange(before, end < 0 ? text.value.length : end);
}

async function save() {
  await attempt(async () => {
    clearTimeout(timer);
    asked++;
    const text = $("text").value;
    const said = await change("PUT", "/api/config", { text }, [422]);
    if (said.saved) {
      saved = text;
      const waits = said.changes.filter((one) => one.restart).map((one) => one.key);
      if (!said.reloaded) say("Saved. It counts when the recorder is started again.");
      else say(waits.length ? `Saved. After a restart: ${waits.join(", ")}` : "Saved, and taken over.");
      show({ faults: [], changes: [] });
    } else {
      show(said);
    }
  });
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    say(error instanceof Refused ? error.message : "No connection.", true);
  }
}

function buttons(faults = 0) {
  const changed = $("text").value !== saved;
  $("save").disabled = !loggedIn() || !changed || faults > 0;
  $("revert").disabled = !loggedIn() || !changed;
}

function verdict(text) {
  set($("verdict"), text);
}

function say(text, bad = false) {
  set($("said"), text);
  $("said").classList.toggle("bad", bad);
}

$("text").addEventListener("input", () => {
  say("");
  number();
  buttons(1); // not before it is judged
  clearTimeout(timer);
  timer = setTimeout(() => attempt(judge), QUIET_MS);
});
$("text").addEventListener("scroll", () => { $("lines").scrollTop = $("text").scrollTop; });
$("save").addEventListener("click", save);
$("revert").addEventListener("click", () => {
  $("text").value = saved;
  say("");
  attempt(judge);
});
addEventListener("beforeunload", (event) => {
  if (loggedIn() && $("text").value !== saved) event.preventDefault();
});
number();
await startAccount(account);
