// The first view: queues with runners and positions, the requests, and one request in full.

import { JobPanel } from "./job.js";
import { count, endpointLink, h, jobLink, keyed, pill, plural, seconds, setText, clock, date, showBeside } from "./dom.js";
import { Table, choice, offer, offerScopes } from "./table.js";

const STATES = ["queued", "running", "completed", "failed", "cancelled"];

export class Requests {
  constructor(app) {
    this.app = app;
    this.queues = h("div", { class: "queues" });
    this.idle = h("p", { class: "idle" });
    this.noQueues = h("p", { class: "empty panel" }, "No request yet. Call the emulator from your program, or ", h("a", { href: "#/endpoints" }, "try an endpoint"), " here.");
    this.endpoint = choice("endpoint", "All endpoints", []);
    this.scope = choice("scope", "All scopes", []);
    this.table = new Table({
      path: "jobs",
      caption: "Requests",
      className: "jobs",
      columns: [
        { name: "state", label: "State" },
        { name: "what", label: "Request" },
        { name: "pic", label: "Picture", hidden: true },
        { name: "took", label: "Took", num: true },
        { name: "when", label: "Arrived", num: true },
      ],
      keyOf: (job) => job.request_id,
      make: (job) => this.row(job),
      filters: [this.endpoint, choice("state", "All states", STATES), this.scope],
      empty: "No request yet.",
    });
    this.table.element.classList.add("list");
    this.split = h("div", { class: "split" }, this.table.element);
    this.element = h(
      "div",
      { class: "stack" },
      h("div", { class: "title" }, h("h1", {}, "Requests")),
      h("section", { class: "stack lanes", "aria-label": "Queues" }, this.noQueues, this.queues, this.idle),
      this.split,
    );
  }

  row(job) {
    const cell = { state: h("td"), picture: h("td", { class: "pic" }), took: h("td", { class: "num took" }), when: h("td", { class: "num when" }) };
    const title = jobLink(job.request_id, "", { class: "main" });
    const under = h("span", { class: "quiet small main" });
    const element = h("tr", {}, cell.state, h("td", {}, title, under), cell.picture, cell.took, cell.when);
    const update = (job) => {
      cell.state.replaceChildren(pill(job.state));
      setText(title, job.summary || job.request_id);
      const more = [job.endpoint_id, job.account === this.app.overview?.accounts[0].nickname ? "" : job.account, job.via === "queue" ? "" : job.via, job.workflow_request_id ? "step of a workflow" : "", job.attempts > 1 ? `${job.attempts} attempts` : "", job.error_type ?? ""];
      setText(under, more.filter(Boolean).join(" · "));
      if (job.picture && !cell.picture.firstChild) cell.picture.append(h("img", { class: "thumb", src: job.picture, alt: "", loading: "lazy" }));
      setText(cell.when, clock(job.submitted_at));
      cell.when.title = date(job.submitted_at);
      cell.took.replaceChildren(this.took(job));
    };
    update(job);
    element.dataset.id = job.request_id;
    if (job.request_id === this.job?.id) element.setAttribute("aria-current", "true");
    return { element, update };
  }

  took(job) {
    if (job.state === "running") return h("span", { "data-since": job.started_at });
    return h("span", {}, job.completed_at ? seconds(job.completed_at - job.submitted_at) : "–");
  }

  open(id) {
    if (id === (this.job?.id ?? "")) return;
    this.job?.close();
    this.job?.element.remove();
    this.job = id ? new JobPanel(this.app, id, { back: true }) : null;
    this.app.live.watch(id || null);
    this.split.classList.toggle("two", Boolean(id));
    this.element.classList.toggle("open", Boolean(id));
    if (this.job) showBeside(this.split, this.table.element, this.job.element);
    for (const row of this.table.body.children) {
      if (row.dataset.id === id) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  }

  close() {
    this.app.live.watch(null);
    this.job?.close();
    this.job = null;
  }

  update(overview) {
    offer(this.endpoint, overview.used);
    offerScopes(this.scope, overview.scopes, this.table);
    this.noQueues.hidden = overview.queues.length > 0;
    const idle = overview.queues.filter((queue) => !queue.busy && !queue.waiting);
    const active = overview.queues.filter((queue) => queue.busy || queue.waiting);
    this.queues.hidden = !active.length;
    this.idle.hidden = !idle.length;
    const ids = [...new Set(idle.map((queue) => queue.endpoint_id))];
    if (this.idle.dataset.ids !== ids.join()) {
      this.idle.dataset.ids = ids.join();
      this.idle.replaceChildren("Idle:", ...ids.map((id) => endpointLink(id)));
    }
    keyed(this.queues, active, (queue) => `${queue.endpoint_id} ${queue.scope ?? ""}`, (queue) => this.queue(queue));
    this.job?.update();
    return this.table.load();
  }

  queue(queue) {
    const state = h("span", { class: "small quiet" });
    const slots = h("ul", { class: "slots" });
    const train = h("ol", { class: "train" });
    const element = h(
      "article",
      { class: "panel queue", "aria-label": `Queue of ${queue.endpoint_id}${queue.scope === null ? "" : ` in scope ${queue.scope}`}` },
      h("div", { class: "head" }, endpointLink(queue.endpoint_id), state),
      queue.scope === null ? null : h("div", { class: "small quiet" }, queue.scope),
      slots,
      train,
    );
    const update = (queue) => {
      const runners = queue.runners === null ? `${queue.busy} by recordings` : `${queue.busy} of ${plural(queue.runners, "runner")} busy`;
      setText(state, `${runners}${queue.waiting ? `, ${count(queue.waiting)} waiting` : ""}`);
      slots.replaceChildren(...this.slots(queue));
      element.classList.toggle("wide", queue.busy > 3);
      train.hidden = !queue.waiting;
      train.replaceChildren(
        ...queue.next.map((job, at) => h("li", {}, jobLink(job.request_id, String(at), { title: `Position ${at}: ${job.summary || job.request_id}` }))),
        ...(queue.waiting > queue.next.length ? [h("li", {}, `+ ${count(queue.waiting - queue.next.length)} more`)] : []),
      );
      this.app.tick();
    };
    update(queue);
    return { element, update };
  }

  slots(queue) {
    const busy = queue.running.map((job) =>
      h(
        "li",
        { class: "slot busy" },
        jobLink(job.request_id, job.summary || job.request_id, { class: "line" }),
        h("span", { class: "num", "data-since": job.started_at ?? job.submitted_at }),
        h("span", { class: "line said" }, [job.attempts > 1 ? `attempt ${job.attempts}` : "", job.log ?? ""].filter(Boolean).join(" · ") || (job.position === null ? "running" : `position ${job.position}`)),
      ),
    );
    const free = Math.max(0, Math.min(queue.runners ?? 0, 4) - busy.length);
    const more = queue.busy - queue.running.length;
    return [
      ...busy,
      ...(more > 0 ? [h("li", { class: "slot" }, `+ ${count(more)} more`)] : []),
      ...(busy.length ? Array.from({ length: Math.min(free, 1) }, () => h("li", { class: "slot" }, free > 1 ? `${free} free runners` : "free runner")) : [h("li", { class: "slot" }, "a pause before a retry, or the account's limit")]),
    ];
  }
}
