// The frame: which view is shown, the live numbers, and the clock of everything that runs.

import { Live } from "./api.js";
import { count, dollars, h, say, seconds, setText } from "./dom.js";
import { Clock } from "./clock.js";
import { Requests } from "./requests.js";
import { Endpoints } from "./endpoints.js";
import { Http } from "./http.js";
import { Faults } from "./faults.js";
import { Books } from "./books.js";
import { Files } from "./files.js";
import { Webhooks } from "./webhooks.js";
import { Accounts } from "./accounts.js";

const VIEWS = {
  requests: ["Requests", Requests, (o) => o.jobs.queued + o.jobs.running],
  endpoints: ["Endpoints", Endpoints, (o) => o.endpoints],
  http: ["HTTP log", Http, (o) => o.http],
  faults: ["Faults", Faults, (o) => o.faults.length, "failed"],
  books: ["Books", Books, () => 0],
  files: ["Files", Files, (o) => o.files],
  webhooks: ["Webhooks", Webhooks, (o) => o.webhooks.ended],
  accounts: ["Accounts", Accounts, () => 0],
};
const LINK = { live: "live", lost: "connection lost, trying again", connecting: "connecting" };

class App {
  constructor() {
    this.live = new Live((overview) => this.changed(overview), (state) => this.linked(state));
    this.view = document.getElementById("view");
    this.clock = new Clock(document.getElementById("clock"));
    this.counts = {};
    const links = Object.entries(VIEWS).map(([name, [label]]) => {
      this.counts[name] = h("span", { class: "count" });
      return h("a", { href: `#/${name}`, "data-name": name }, label, this.counts[name]);
    });
    document.getElementById("nav").append(...links);
    setText(document.getElementById("address"), location.origin);
    addEventListener("hashchange", () => this.route(true));
    setInterval(() => this.tick(), matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 200);
    this.route(false);
    if (!this.live.source) this.live.open();
  }

  route(moved) {
    const [wanted, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
    const name = wanted in VIEWS ? wanted : "requests";
    const detail = rest.map(decodeURIComponent).join("/");
    if (name !== this.name) {
      this.shown?.close?.();
      this.name = name;
      this.shown = new VIEWS[name][1](this);
      this.view.replaceChildren(this.shown.element);
      for (const link of document.querySelectorAll("#nav a")) {
        if (link.dataset.name === name) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
      if (moved) {
        scrollTo(0, 0);
        this.view.focus({ preventScroll: true });
        say(VIEWS[name][0]);
      }
    }
    this.shown.open?.(detail);
    if (this.overview) this.update(true);
  }

  linked(state) {
    const link = document.getElementById("link");
    link.dataset.state = state;
    setText(link, LINK[state]);
  }

  changed(overview) {
    this.overview = overview;
    this.clock.update(overview);
    const { jobs, accounts } = overview;
    const balance = accounts[0].locked ? "locked" : accounts[0].balance === null ? null : dollars(accounts[0].balance);
    const numbers = [["accepted", jobs.accepted, ""], ["running", jobs.running, "running"], ["queued", jobs.queued, "queued"], ["failed", jobs.failed, "failed"]];
    document.getElementById("numbers").replaceChildren(
      ...numbers.map(([name, value, tone]) => h("div", { "data-tone": value ? tone : "" }, h("dt", {}, name), h("dd", {}, count(value)))),
      ...(balance ? [h("div", {}, h("dt", {}, "balance"), h("dd", {}, balance))] : []),
    );
    for (const [name, [, , number, tone]] of Object.entries(VIEWS)) {
      const value = number(overview);
      setText(this.counts[name], value ? count(value) : "");
      if (tone) this.counts[name].dataset.tone = value ? tone : "";
    }
    document.title = jobs.running ? `(${jobs.running}) fal emulator` : "fal emulator";
    this.update();
  }

  // At most four times a second, however fast requests arrive; but a view that was just opened shows its data at once.
  update(opened = false) {
    if (this.updating && !opened) return (this.due = true);
    this.updating = true;
    this.due = false;
    const again = () => {
      this.updating = false;
      if (this.due) this.update();
    };
    Promise.resolve(this.shown.update?.(this.overview)).finally(() => setTimeout(again, 250));
  }

  tick() {
    const now = this.live.now();
    for (const element of document.querySelectorAll("[data-since]")) setText(element, seconds(now - Number(element.dataset.since)));
  }
}

new App();
