// What was asked: the HTTP requests that arrived, searchable, each with headers and body.

import { one, remove } from "./api.js";
import { clock, copyButton, date, endpointLink, h, jobLink, json, link, setText, showBeside, size } from "./dom.js";
import { Table, choice, offer, offerScopes } from "./table.js";

const KINDS = ["submit", "status", "status_stream", "result", "cancel", "run", "stream", "realtime", "websocket", "file", "initiate", "upload", "multipart", "part", "complete", "cdn_token", "platform", "rest", "openapi", "token", "key_set", "index", "unknown", "wrong_method"];

export class Http {
  constructor(app) {
    this.app = app;
    this.endpoint = choice("endpoint", "All endpoints", []);
    this.scope = choice("scope", "All scopes", []);
    this.table = new Table({
      path: "requests",
      caption: "HTTP requests",
      className: "http",
      columns: [
        { name: "at", label: "Arrived" },
        { name: "status", label: "Status", num: true },
        { name: "kind", label: "Operation" },
        { name: "path", label: "Method and path" },
        { name: "size", label: "Body", num: true },
      ],
      keyOf: (request) => request.number,
      make: (request) => this.row(request),
      filters: [this.endpoint, choice("kind", "All operations", KINDS), this.scope],
      empty: "No HTTP request yet.",
    });
    this.table.element.classList.add("list");
    this.note = h("p", { class: "panel quiet", hidden: true }, "HTTP requests are counted but not kept: this emulator was started without recording them.");
    this.split = h("div", { class: "split" }, this.table.element);
    const clear = h("button", { type: "button", onclick: async () => (await remove("requests"), this.table.restart()) }, "Clear");
    this.element = h("div", { class: "stack" }, h("div", { class: "title" }, h("h1", {}, "HTTP log"), h("div", { class: "end" }, clear)), this.note, this.split);
  }

  row(request) {
    const status = h("td", { class: "num" });
    const path = link(`#/http/${request.number}`, `${request.method} ${request.path}`, { class: "main mono", title: request.path });
    const element = h("tr", { "data-id": request.number }, h("td", { class: "num" }, clock(request.at)), status, h("td", { class: "kind" }, request.kind), h("td", {}, path), h("td", { class: "num size" }, request.size ? size(request.size) : ""));
    const update = (request) => {
      status.dataset.tone = request.status === null || request.status >= 400 ? "failed" : "completed";
      status.replaceChildren(h("span", { class: "pill", "data-tone": status.dataset.tone }, String(request.status ?? "no answer")));
    };
    update(request);
    if (String(request.number) === this.number) element.setAttribute("aria-current", "true");
    return { element, update };
  }

  async open(number) {
    this.number = number;
    this.split.classList.toggle("two", Boolean(number));
    for (const row of this.table.body.children) {
      if (row.dataset.id === number) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    this.shown?.remove();
    if (!number) return;
    const shown = (this.shown = h("section", { class: "panel", "aria-label": "One HTTP request" }));
    showBeside(this.split, this.table.element, shown);
    try {
      shown.replaceChildren(...whole(await one("requests", number)));
    } catch (error) {
      setText(shown, error.message);
    }
  }

  update(overview) {
    offer(this.endpoint, overview.used);
    offerScopes(this.scope, overview.scopes, this.table);
    this.note.hidden = overview.records;
    this.split.hidden = !overview.records;
    return overview.records ? this.table.load() : undefined;
  }
}

function whole(request) {
  const pairs = (name, values) => Object.keys(values).length > 0 && [h("h3", {}, name), h("pre", { tabindex: "0" }, Object.entries(values).map(([name, value]) => `${name}: ${value}`).join("\n"))];
  let body = null;
  try {
    body = request.body && json(JSON.parse(request.body));
  } catch {
    body = h("pre", { tabindex: "0" }, request.body);
  }
  return [
    h("div", { class: "title" }, h("h2", {}, h("code", {}, request.method), " ", request.kind), h("div", { class: "end" }, link("#/http", "Close", { class: "button" }))),
    h("p", {}, h("code", {}, request.path)),
    h("p", { class: "quiet" }, `${date(request.at)} · ${request.host_segment} · HTTP ${request.status ?? "without an answer"} · ${size(request.size)}`),
    (request.request_id || request.endpoint_id) && h("p", {}, request.endpoint_id && endpointLink(request.endpoint_id), " ", request.request_id && jobLink(request.request_id, request.request_id)),
    ...[pairs("Query", request.query), pairs("Headers", request.headers)].flat(),
    ...(body ? [h("div", { class: "section-head" }, h("h3", {}, "Body"), copyButton(request.body)), body] : []),
  ].filter(Boolean);
}
