// Asking the server, and logging in: the page is read-only until then.

import { $, set } from "./dom.js";

let account = { password_set: false, logged_in: false, csrf: null };
let onAccount = () => {};

/** A refusal of the server, in its own words. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export const loggedIn = () => account.logged_in;

export async function get(path) {
  return read(await fetch(path, { cache: "no-store" }));
}

/** A request that changes something; ``also`` statuses are answers too. */
export async function change(method, path, body, also = []) {
  const headers = { "X-CSRF-Token": account.csrf ?? "" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (answer.status === 401 && path !== "/api/login") await refresh();
  return read(answer, also);
}

async function read(answer, also = []) {
  if (!answer.ok && !also.includes(answer.status)) throw new Refused(answer.status, (await answer.text()).trim());
  if (answer.status === 204) return null;
  return answer.json();
}

/** Set up the buttons for logging in and out; ``tell`` is called with every change. */
export async function startAccount(tell) {
  onAccount = tell;
  const dialog = $("login");
  $("log-in").addEventListener("click", () => {
    set($("login-fault"), "");
    dialog.showModal();
  });
  $("login-cancel").addEventListener("click", () => dialog.close());
  $("log-out").addEventListener("click", async () => {
    await change("POST", "/api/logout").catch(() => {});
    await refresh();
  });
  $("login-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    set($("login-fault"), "");
    try {
      become(await change("POST", "/api/login", { password: $("password").value }));
      dialog.close();
    } catch (refused) {
      set($("login-fault"), refused instanceof Refused ? refused.message : "no connection");
      $("password").select();
    }
  });
  dialog.addEventListener("close", () => { $("password").value = ""; });
  await refresh();
}

async function refresh() {
  try {
    become(await get("/api/account"));
  } catch {
    become({ password_set: false, logged_in: false, csrf: null });
  }
}

function become(now) {
  account = now;
  $("log-in").hidden = now.logged_in || !now.password_set;
  $("log-out").hidden = !now.logged_in;
  set($("account"), now.logged_in ? "Logged in" : now.password_set ? "Read-only" : "Read-only: no password is set");
  document.body.dataset.account = now.logged_in ? "owner" : "reader";
  onAccount(now);
}
