// The files that the emulator serves, uploads under way, and tokens.

import { get, list, post } from "./api.js";
import { media } from "./job.js";
import { date, h, keyed, plural, setText, size } from "./dom.js";

const PAGE = 24;
const REVOKE = { cdn: "CDN tokens, for uploads", realtime: "Realtime tokens", login: "Access tokens of logins" };

export class Files {
  constructor() {
    this.shown = PAGE;
    this.grid = h("ul", { class: "media" });
    this.more = h("button", { type: "button", onclick: () => ((this.shown += PAGE), this.load()) }, "Show more");
    this.search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search files", oninput: () => this.load() });
    this.where = h("p", { class: "quiet", role: "status" });
    this.uploads = h("tbody");
    this.tokens = h("ul", { class: "models" });
    const expire = h("button", { type: "button", class: "danger", onclick: async () => (await post("files/expire"), this.load()) }, "Expire all files");
    this.uploadPanel = h("section", { class: "panel flush scroll", "aria-label": "Uploads" }, h("table", {}, h("caption", { class: "hidden" }, "Uploads"), h("thead", {}, h("tr", {}, ["File", "Type", "Account", "Parts", "State"].map((name) => h("th", { scope: "col" }, name)))), this.uploads));
    this.element = h(
      "div",
      { class: "stack" },
      h("div", { class: "title" }, h("h1", {}, "Files"), h("div", { class: "end" }, expire)),
      h("div", { class: "bar" }, this.search),
      this.where,
      this.grid,
      h("p", {}, this.more),
      h("h2", {}, "Uploads"),
      this.uploadPanel,
      h("h2", {}, "Tokens"),
      h("section", { class: "panel", "aria-label": "Tokens" }, this.tokens),
    );
  }

  async load() {
    const { value, total } = await list("files", { order: "newest", limit: this.shown, text: this.search.value });
    keyed(this.grid, value, (file) => file.url, (file) => ({ element: h("li", {}, media(file)) }));
    setText(this.where, `${plural(total, "file")}`);
    this.more.hidden = value.length >= total;
  }

  async update(overview) {
    const seen = JSON.stringify([overview.files, overview.uploads, overview.http]);
    if (seen === this.seen) return;
    this.seen = seen;
    await this.load();
    const [{ value: uploads }, tokens] = await Promise.all([list("uploads", { order: "newest", limit: 50 }), get("tokens")]);
    this.uploads.replaceChildren(...uploads.map((one) => h("tr", {}, h("td", { class: "mono" }, one.path), h("td", {}, one.content_type), h("td", {}, one.owner), h("td", {}, one.multipart ? `${one.parts}, ${size(one.size)}` : "one piece"), h("td", {}, one.completed ? "complete" : "not complete"))));
    if (!uploads.length) this.uploads.replaceChildren(h("tr", {}, h("td", { class: "quiet", colspan: "5" }, "No upload yet.")));
    this.tokens.replaceChildren(
      ...Object.entries(tokens).map(([kind, valid]) =>
        h("li", { class: "bar" }, h("span", {}, `${REVOKE[kind]}: ${valid.length} valid`), valid.length > 0 && h("span", { class: "quiet small" }, `the last until ${date(Math.max(...valid.map((one) => one.expires_at)))}`), valid.length > 0 && h("button", { type: "button", class: "danger", "aria-label": `Revoke ${REVOKE[kind]}`, onclick: async () => (await post("tokens/revoke", { kind }), (this.seen = ""), this.update(overview)) }, "Revoke")),
      ),
    );
  }
}
