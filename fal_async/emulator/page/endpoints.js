// The endpoints: what each takes and costs, a form to try it, and the same call as a program.

import { asClient, get, key, one } from "./api.js";
import { copyButton, dollars, endpointLink, h, json, plural, setText } from "./dom.js";
import { InputForm, inputSchema } from "./form.js";
import { JobPanel } from "./job.js";
import { SNIPPETS, exports } from "./snippets.js";

export class Endpoints {
  constructor(app) {
    this.app = app;
    this.list = h("ul", { class: "models" });
    this.search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search endpoints", oninput: () => this.showList() });
    this.detail = h("div", { class: "stack" }, h("p", { class: "panel empty" }, "Choose an endpoint to see what it takes, and to try it."));
    this.nav = h("nav", { class: "panel flush", "aria-label": "Endpoints" }, h("div", { class: "bar tools" }, this.search), this.list);
    this.element = h("div", { class: "stack" }, h("div", { class: "title" }, h("h1", {}, "Endpoints")), h("div", { class: "split side" }, this.nav, this.detail));
  }

  close() {
    this.app.live.watch(null);
    this.job?.close();
  }

  async open(id) {
    this.id = id;
    this.mark();
    if (!id) return;
    try {
      this.show(await one("endpoints", id));
    } catch (error) {
      this.detail.replaceChildren(h("p", { class: "panel error" }, error.message));
    }
  }

  async update(overview) {
    const seen = `${overview.endpoints} ${overview.endpoints_changed}`;
    if (seen !== this.seen) {
      this.seen = seen;
      this.known = await get("endpoints");
      this.showList();
    }
    await this.job?.update();
  }

  showList() {
    const text = this.search.value.toLowerCase();
    const fits = (this.known ?? []).filter((one) => JSON.stringify(one).toLowerCase().includes(text));
    this.list.replaceChildren(...fits.map((one) => h("li", {}, endpointLink(one.endpoint_id, { "data-id": one.endpoint_id }))));
    for (const link of this.list.querySelectorAll("a")) {
      const one = fits.find((one) => one.endpoint_id === link.dataset.id);
      const about = [one.category, one.price !== null && `${dollars(one.price)} for each ${one.unit}`].filter(Boolean).join(" · ");
      link.replaceChildren(h("b", {}, one.endpoint_id), h("span", { class: "quiet small" }, about || one.description || "no description"));
    }
    this.mark();
  }

  mark() {
    for (const link of this.list.querySelectorAll("a")) {
      if (link.dataset.id === this.id) {
        link.setAttribute("aria-current", "true");
        // Only the list moves, not the page.
        const { offsetTop: top, offsetHeight: height } = link;
        const { scrollTop, clientHeight } = this.list;
        if (top < scrollTop || top + height > scrollTop + clientHeight) this.list.scrollTop = top - 40;
      }
      else link.removeAttribute("aria-current");
    }
  }

  show(endpoint) {
    this.job?.close();
    this.job = null;
    this.app.live.watch(null);
    const schema = inputSchema(endpoint.openapi, endpoint.endpoint_id);
    this.form = new InputForm(schema, endpoint.openapi, () => this.snippets());
    this.outcome = h("div", { class: "stack" });
    const { value, id } = JSON.parse(sessionStorage.getItem("input") ?? "{}");
    sessionStorage.removeItem("input");
    if (id === endpoint.endpoint_id) this.form.write(value);
    const switches = [["Form", true], ["JSON", false]].map(([label, asForm]) => h("button", { type: "button", "aria-pressed": String(asForm === this.form.asForm), onclick: () => this.turn(asForm, switches) }, label));
    this.mode = h("select", { "aria-label": "How to call it" }, h("option", { value: "queue.fal.run" }, "through the queue"), h("option", { value: "fal.run" }, "directly"));
    this.error = h("p", { class: "error", role: "alert" });
    this.send = h("button", { class: "main" }, "Run");
    const tags = [endpoint.category, endpoint.is_application && "application", endpoint.streams && "streams", endpoint.public && "public", endpoint.status, plural(endpoint.runners, "runner"), endpoint.price !== null && `${dollars(endpoint.price)} for each ${endpoint.unit}`];
    this.detail.replaceChildren(
      h("section", { class: "panel", "aria-label": "Endpoint" }, h("h2", {}, endpoint.endpoint_id), endpoint.description && h("p", {}, endpoint.description), this.paths(endpoint), h("p", { class: "bar" }, tags.filter(Boolean).map((tag) => h("span", { class: "tag" }, tag)))),
      h(
        "form",
        { class: "panel", "aria-label": "Try it", onsubmit: (event) => (event.preventDefault(), this.run(endpoint.endpoint_id)) },
        h("div", { class: "section-head" }, h("h2", {}, "Try it"), Object.keys(this.form.fields).length > 0 && h("div", { class: "bar" }, switches)),
        this.form.element,
        h("div", { class: "bar" }, this.send, this.mode),
        this.error,
      ),
      this.outcome,
      this.program(endpoint.endpoint_id),
      ...(endpoint.openapi ? [h("details", { class: "panel" }, h("summary", {}, "OpenAPI document"), json(endpoint.openapi))] : []),
    );
    this.snippets();
  }

  // An application has several paths, each of which is called as an endpoint.
  paths({ app_id: app, paths, endpoint_id: id }) {
    const ids = paths.map((path) => `${app}${path === "/" ? "" : path}`).filter((path) => path !== id);
    return ids.length > 0 && h("p", { class: "bar" }, "Other paths of the application:", ids.map((one) => endpointLink(one)));
  }

  turn(asForm, switches) {
    if (!this.form.turn(asForm)) return;
    switches.forEach((button, at) => button.setAttribute("aria-pressed", String((at === 0) === asForm)));
    this.snippets();
  }

  program(id) {
    this.language = localStorage.getItem("language") in SNIPPETS ? localStorage.getItem("language") : "Python";
    this.code = h("pre", { tabindex: "0" });
    this.endpointId = id;
    const buttons = Object.keys(SNIPPETS).map((name) => h("button", { type: "button", "aria-pressed": String(name === this.language), onclick: () => choose(name) }, name));
    const choose = (name) => {
      localStorage.setItem("language", (this.language = name));
      for (const button of buttons) button.setAttribute("aria-pressed", String(button.textContent === name));
      this.snippets();
    };
    const settings = h("button", { type: "button", onclick: async () => (await navigator.clipboard.writeText(exports(location.origin, await key())), setText(settings, "Copied")) }, "Copy FAL_BASE_URL and FAL_KEY");
    return h("section", { class: "panel", "aria-label": "As a program" }, h("div", { class: "section-head" }, h("h2", {}, "As a program"), h("div", { class: "bar" }, buttons)), this.code, h("div", { class: "bar" }, copyButton(() => this.code.textContent, "Copy program"), settings));
  }

  snippets() {
    const input = this.form.read();
    if (input !== undefined) setText(this.code, SNIPPETS[this.language](this.endpointId, input));
  }

  async run(id) {
    const input = this.form.read();
    if (input === undefined) return;
    setText(this.error, "");
    this.send.disabled = true;
    try {
      const answer = await asClient("POST", `/${this.mode.value}/${id}`, { body: JSON.stringify(input), headers: { "Content-Type": "application/json" } });
      const text = await answer.text();
      const request = answer.headers.get("x-fal-request-id");
      const job = this.mode.value === "queue.fal.run" ? (answer.ok ? JSON.parse(text).request_id : null) : request;
      if (job) this.follow(job);
      if (!answer.ok) setText(this.error, `HTTP ${answer.status}: ${text.slice(0, 2000)}`);
    } catch (error) {
      setText(this.error, `There was no answer: ${error.message}`);
    } finally {
      this.send.disabled = false;
    }
  }

  follow(id) {
    this.job?.close();
    this.job = new JobPanel(this.app, id);
    this.app.live.watch(id);
    this.outcome.replaceChildren(this.job.element);
    this.job.element.scrollIntoView({ block: "nearest" });
  }
}
