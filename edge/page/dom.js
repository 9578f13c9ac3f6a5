// Small helpers: write to the page only what changed.

export const $ = (id) => document.getElementById(id);

export function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** An element from markup written in this source; what comes from the server goes in by set(). */
export function el(markup) {
  const template = document.createElement("template");
  template.innerHTML = markup.trim();
  return template.content.firstElementChild;
}

/** Make the children of parent match items, keeping the nodes of those that stay. */
export function rows(parent, items, key, make, update) {
  const old = (parent.rowsByKey ??= new Map());
  const seen = new Set();
  items.forEach((item, i) => {
    const k = key(item);
    seen.add(k);
    if (!old.has(k)) old.set(k, make(item));
    const node = old.get(k);
    if (parent.children[i] !== node) parent.insertBefore(node, parent.children[i] ?? null);
    update(node, item);
  });
  for (const [k, node] of old) {
    if (seen.has(k)) continue;
    node.remove();
    old.delete(k);
  }
}

/** A figure of the status, or null: value(s, "gauges", "ev", "low"). */
export const value = (status, table, name, label = "") => status[table]?.[name]?.[label] ?? null;
