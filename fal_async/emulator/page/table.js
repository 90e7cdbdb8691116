// A table of a list that the server filters and pages. It follows new entries on its first page only.

import { list } from "./api.js";
import { count, h, keyed, setText } from "./dom.js";

const PAGE = 50;

export class Table {
  constructor({ path, caption, columns, keyOf, make, filters = [], query = {}, empty, className = "" }) {
    Object.assign(this, { path, keyOf, make, filters, query, empty });
    this.offset = 0;
    this.through = null;
    this.busy = this.again = false;
    this.body = h("tbody");
    this.table = h(
      "table",
      { class: className },
      h("caption", { class: "hidden" }, caption),
      h("colgroup", {}, columns.map((column) => h("col", { class: column.name }))),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: `${column.name} ${column.num ? "num" : ""}` }, column.hidden ? h("span", { class: "hidden" }, column.label) : column.label)))),
      this.body,
    );
    this.search = h("input", { type: "search", placeholder: "Search", "aria-label": `Search in ${caption}`, oninput: () => this.typed() });
    this.where = h("span", { class: "where", role: "status" });
    this.newer = h("button", { type: "button", onclick: () => this.turn(-PAGE) }, "Newer");
    this.older = h("button", { type: "button", onclick: () => this.turn(PAGE) }, "Older");
    this.newest = h("button", { type: "button", onclick: () => this.turn(-Infinity) }, "Newest");
    this.nothing = h("p", { class: "empty" }, empty);
    this.element = h(
      "section",
      { class: "panel flush", "aria-label": caption },
      h("div", { class: "bar tools" }, this.search, filters.map((filter) => filter.element)),
      h("div", { class: "scroll" }, this.table),
      this.nothing,
      h("div", { class: "pager" }, this.where, this.newest, this.newer, this.older),
    );
    for (const filter of filters) filter.element.addEventListener("change", () => this.restart());
  }

  typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.restart(), 180);
  }

  restart() {
    this.offset = 0;
    this.through = null;
    return this.load();
  }

  turn(by) {
    this.offset = Math.max(0, this.offset + by);
    // Later pages stay where they are while entries arrive.
    this.through = this.offset ? (this.through ?? this.first) : null;
    return this.load();
  }

  // Asks once at a time; a change while it asks makes it ask once more.
  async load() {
    this.again = true;
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.again) {
        this.again = false;
        await this.show();
      }
    } catch (error) {
      setText(this.where, error.message);
    } finally {
      this.busy = false;
    }
  }

  async show() {
    const filters = Object.fromEntries(this.filters.map((filter) => [filter.name, filter.element.value]));
    const query = { brief: 1, order: "newest", limit: PAGE, offset: this.offset, text: this.search.value, through: this.through, ...this.query, ...filters };
    const { value: entries, total } = await list(this.path, query);
    if (!this.offset) this.first = entries.length ? this.keyOf(entries[0]) : null;
    keyed(this.body, entries, this.keyOf, this.make);
    this.table.hidden = !entries.length;
    this.nothing.hidden = entries.length > 0;
    const filtered = this.search.value || Object.values(filters).some(Boolean);
    setText(this.nothing, filtered ? "Nothing fits the search." : this.empty);
    setText(this.where, entries.length ? `${count(this.offset + 1)}–${count(this.offset + entries.length)} of ${count(total)}` : "");
    this.newer.disabled = !this.offset;
    this.older.disabled = this.offset + entries.length >= total;
    this.newest.hidden = !this.through;
    this.element.lastChild.hidden = total <= PAGE && !this.through;
  }
}

export function choice(name, label, options) {
  const element = h("select", { "aria-label": label }, h("option", { value: "" }, label), options.map((option) => h("option", { value: option }, option)));
  return { name, element };
}

// Scopes come and go: the choice is there while some are open, and a closed one is no longer chosen.
export function offerScopes(filter, scopes, table) {
  const chosen = filter.element.value;
  for (const option of [...filter.element.options]) if (option.value && !scopes.includes(option.value)) option.remove();
  offer(filter, scopes);
  filter.element.hidden = !scopes.length;
  if (filter.element.value !== chosen) table.restart();
}

// Adds endpoint ids that were not there when the choice was made.
export function offer(filter, options) {
  const known = new Set([...filter.element.options].map((option) => option.value));
  for (const option of options) if (!known.has(option)) filter.element.append(h("option", { value: option }, option));
}
