// The webhook deliveries: each attempt, and whether webhooks are delivered automatically.

import { post } from "./api.js";
import { clock, h, jobLink, setSwitch, setText } from "./dom.js";
import { Table, choice, offerScopes } from "./table.js";

export class Webhooks {
  constructor(app) {
    this.app = app;
    this.scope = choice("scope", "All scopes", []);
    this.table = new Table({
      path: "webhooks",
      caption: "Webhook attempts",
      columns: [
        { name: "at", label: "Began" },
        { name: "status", label: "Outcome" },
        { name: "request", label: "Request" },
        { name: "url", label: "Receiver" },
        { name: "attempt", label: "Attempt", num: true },
        { name: "again", label: "Send again", hidden: true },
      ],
      keyOf: (attempt) => `${attempt.request_id} ${attempt.at}`,
      make: (attempt) => ({ element: row(attempt) }),
      filters: [this.scope],
      empty: "No attempt yet. Submit a request with a webhook URL.",
    });
    this.switch = h("button", { type: "button", class: "switch good", role: "switch", "aria-checked": "false", disabled: true, onclick: () => this.toggle() }, h("span", { class: "knob" }), h("b", {}, "Deliver automatically"), h("span", { class: "quiet small" }, "Off: a webhook is sent only on demand"));
    this.pending = h("p", { class: "quiet", role: "status" });
    this.element = h("div", { class: "stack" }, h("div", { class: "title" }, h("h1", {}, "Webhooks")), h("div", { class: "switches" }, this.switch), this.pending, this.table.element);
  }

  async toggle() {
    await post("webhooks/automatic", { automatic: this.switch.getAttribute("aria-checked") !== "true" });
  }

  update(overview) {
    setSwitch(this.switch, overview.webhooks_automatic);
    offerScopes(this.scope, overview.scopes, this.table);
    const pending = overview.webhooks.under_way;
    setText(this.pending, pending ? `${pending} being sent, or waiting for a retry` : "");
    return this.table.load();
  }
}

function row(attempt) {
  const tone = attempt.delivered ? "completed" : "failed";
  const again = h("button", { type: "button", onclick: () => post("webhooks", { request_id: attempt.request_id }).catch((error) => (again.textContent = error.message)) }, "Send again");
  return h("tr", {}, h("td", { class: "num" }, clock(attempt.at)), h("td", {}, h("span", { class: "pill", "data-tone": tone }, attempt.status ? `HTTP ${attempt.status}` : "no answer"), attempt.error && h("span", { class: "quiet small main" }, attempt.error)), h("td", {}, jobLink(attempt.request_id)), h("td", { class: "mono" }, attempt.url), h("td", { class: "num" }, String(attempt.attempt)), h("td", {}, again));
}
