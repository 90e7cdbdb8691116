// One request in full: timings, result with its files, log as it comes, attempts, webhook, HTTP requests.

import { asClient, one } from "./api.js";
import { clock, copyButton, count, date, dollars, endpointLink, h, jobLink, json, link, part, pill, plural, say, seconds, setText, size } from "./dom.js";

export class JobPanel {
  constructor(app, id, { back = false } = {}) {
    Object.assign(this, { app, id, busy: false, again: false, closed: false, shown: 0 });
    this.state = h("span");
    this.name = h("h2");
    this.error = h("p", { class: "error", role: "alert", hidden: true });
    this.cancel = h("button", { type: "button", class: "danger", hidden: true, onclick: () => this.ask("PUT", "cancel", "The cancel") }, "Cancel");
    this.poll = h("button", { type: "button", hidden: true, onclick: () => this.ask("GET", "status", "The status request") }, "Poll once");
    this.log = h("div", { class: "log", tabindex: "0", "aria-label": "Log", role: "log", "aria-live": "off" });
    this.logHead = h("h3", {}, "Log");
    this.logs = h("section", { class: "stack", "aria-label": "Log", hidden: true }, this.logHead, this.log);
    this.parts = { facts: part((job) => facts(job, job.stands ?? app.live.now())), failure: part(failure), files: part(files), result: part(result), steps: part(steps), input: part(input), webhook: part(webhook), requests: part(requests) };
    const { facts: f, steps: s, failure: e, files: m, result: r, input: i, webhook: w, requests: q } = this.parts;
    this.element = h(
      "section",
      { class: "panel", "aria-label": "One request" },
      h("div", { class: "title" }, this.state, this.name, h("div", { class: "end" }, this.poll, this.cancel, back && link("#/requests", "Close", { class: "button" }))),
      h("div", { class: "bar" }, h("code", { class: "quiet" }, id), copyButton(id, "Copy id")),
      this.error,
      f.element, e.element, s.element, m.element, r.element, this.logs, i.element, w.element, q.element,
    );
    this.update();
  }

  close() {
    this.closed = true;
  }

  async update() {
    this.again = true;
    if (this.busy || this.closed) return;
    this.busy = true;
    try {
      while (this.again && !this.closed) {
        this.again = false;
        this.show(await one("jobs", this.id));
      }
    } catch (error) {
      this.error.hidden = false;
      setText(this.error, error.message);
    } finally {
      this.busy = false;
    }
  }

  show(job) {
    this.job = job;
    this.error.hidden = true;
    if (this.state.textContent !== job.state) {
      if (this.state.textContent) say(`The request is ${job.state}`);
      this.state.replaceChildren(pill(job.state));
    }
    this.name.replaceChildren(endpointLink(job.endpoint_id));
    this.cancel.hidden = job.via !== "queue" || !["queued", "running"].includes(job.state);
    this.poll.hidden = this.cancel.hidden || !job.polls;
    const { input, logs, result, files, steps, webhook, requests, ...rest } = job;
    this.parts.facts.update({ ...rest, stands: this.app.live.stands });
    this.parts.failure.update({ error: job.error, error_type: job.error_type, exception: job.exception, status: job.status_code });
    this.parts.files.update(files);
    this.parts.steps.update(steps);
    this.parts.result.update(result);
    this.parts.input.update({ input, endpoint_id: job.endpoint_id, deleted: job.payloads_deleted });
    this.parts.webhook.update(webhook);
    this.parts.requests.update({ requests, total: job.requests_total });
    this.showLogs(job);
    this.app.tick();
  }

  showLogs(job) {
    this.logs.hidden = job.logs_total === 0;
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 30;
    const first = job.logs_total - job.logs.length;
    if (job.logs_total < this.shown || first > this.shown) this.log.replaceChildren();
    const news = this.log.childElementCount ? job.logs.slice(this.shown - first) : job.logs;
    this.log.append(...news.map((entry) => line(entry, job.submitted_at)));
    this.shown = job.logs_total;
    setText(this.logHead, `Log, ${plural(job.logs_total, "line")}${first ? `, the latest ${count(job.logs.length)}` : ""}`);
    if (atEnd && news.length) this.log.scrollTop = this.log.scrollHeight;
  }

  async ask(method, operation, name) {
    const { request_id: id, endpoint_id: endpoint, account } = this.job;
    const app = endpoint.split("/").slice(0, ["workflows", "comfy"].includes(endpoint.split("/")[0]) ? 3 : 2).join("/");
    const answer = await asClient(method, `/queue.fal.run/${app}/requests/${id}/${operation}`, { account });
    say(`${name} was ${answer.ok ? "accepted" : `refused with ${answer.status}`}`);
    if (!answer.ok) {
      this.error.hidden = false;
      setText(this.error, `${name} was refused: HTTP ${answer.status} ${await answer.text()}`);
    } else await this.update();
  }
}

function line(entry, from) {
  const at = Date.parse(entry.timestamp) / 1000 - from;
  return h("p", { "data-level": entry.level }, h("span", { class: "at" }, Number.isFinite(at) ? seconds(at) : ""), h("span", { class: "level" }, entry.level), h("span", {}, entry.message));
}

function facts(job, now) {
  const fact = (name, value) => value !== null && value !== undefined && h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const since = (at) => h("span", { "data-since": at });
  const ended = job.completed_at;
  const waited = job.started_at ? seconds(job.started_at - job.submitted_at) : ended ? seconds(ended - job.submitted_at) : since(job.submitted_at);
  const ran = !job.started_at ? null : ended ? seconds(ended - job.started_at) : job.state === "running" ? since(job.started_at) : null;
  const list = h(
    "dl",
    { class: "facts" },
    fact("Position in the queue", job.queue_position === null ? null : String(job.queue_position)),
    fact("Waited", waited),
    fact("Ran", ran),
    fact("Arrived", h("time", { title: date(job.submitted_at) }, clock(job.submitted_at))),
    fact("Attempts", String(job.attempts)),
    fact("Called by", job.via === "queue" ? "queue" : job.via),
    fact("Moved on by polls", job.polls && `${job.polls.queued} queued, ${job.polls.running} running`),
    fact("Recording", job.recording && h("code", {}, job.recording)),
    fact("Step of workflow", job.workflow_request_id && jobLink(job.workflow_request_id)),
    fact("Account", job.account || "without a key"),
    fact("Inference time", job.inference_time === null ? null : seconds(job.inference_time)),
    fact("Cost", ended ? `${dollars(job.cost)}${job.price ? ` for ${job.billable_units} × ${job.price.unit}` : ""}` : null),
    fact("Cancel requests", job.cancel_requests ? String(job.cancel_requests) : null),
    fact("Forgotten by a restart", job.forgotten ? "yes" : null),
    Object.entries(job.options).map(([name, value]) => fact(name.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : String(value))),
  );
  return [timeline(job, now), list];
}

function timeline(job, now) {
  if (!job.started_at) return null;
  const end = job.completed_at ?? now;
  const waits = h("span", { class: "waits" });
  const runs = h("span", { "data-tone": job.state === "queued" ? "running" : job.state });
  waits.style.flexGrow = 1000 * Math.max(0.001, job.started_at - job.submitted_at);
  runs.style.flexGrow = 1000 * Math.max(0.001, end - job.started_at);
  return h("div", { class: `timeline ${job.completed_at ? "" : "now"}`, "aria-hidden": "true" }, waits, runs);
}

function failure({ error, error_type: type, exception, status }) {
  if (!error && !exception) return null;
  return h("div", { class: "panel warn" }, h("p", {}, h("b", {}, `${status ?? ""} ${type ?? "error"}`)), error && h("p", {}, error), exception && h("p", {}, "The endpoint raised ", h("code", {}, exception)));
}

export function media(file) {
  const kind = file.content_type.split("/")[0];
  const shown = {
    image: () => link(file.url, h("img", { src: file.url, alt: file.name, loading: "lazy" }), { target: "_blank", rel: "noreferrer" }),
    audio: () => h("audio", { controls: true, src: file.url, preload: "metadata", "aria-label": file.name }),
    video: () => h("video", { controls: true, src: file.url, preload: "metadata", muted: true, "aria-label": file.name }),
  }[kind];
  return h("figure", {}, shown?.(), h("figcaption", {}, link(file.url, file.name, { target: "_blank", rel: "noreferrer" }), h("span", { class: "quiet" }, `${file.content_type}, ${size(file.size)}${file.public === false ? ", not public" : ""}`)));
}

function files(list) {
  if (!list.length) return null;
  return h("ul", { class: `media ${list.length === 1 ? "one" : ""}` }, list.map((file) => h("li", {}, media(file))));
}

function result(found) {
  if (!found) return null;
  const about = `${found.status} · ${found.content_type || "no content type"} · ${size(found.size)}`;
  const shown = "document" in found ? json(found.document) : "text" in found ? h("pre", { tabindex: "0" }, found.text) : h("p", { class: "quiet" }, "Not shown here: fetch it as a client does.");
  return [h("div", { class: "section-head" }, h("h3", {}, "Result"), h("span", { class: "quiet small" }, about), "document" in found && copyButton(JSON.stringify(found.document, null, 2))), shown];
}

function steps(list) {
  if (!list.length) return null;
  const rows = list.map((step) => h("li", { class: "bar" }, pill(step.state), jobLink(step.request_id, step.node), h("span", { class: "quiet small" }, step.endpoint_id ?? ""), h("span", { class: "quiet small" }, dollars(step.cost))));
  const cost = list.reduce((sum, step) => sum + Number(step.cost), 0);
  return [h("h3", {}, `${plural(list.length, "step")}, ${dollars(cost)}`), h("ol", { class: "plain" }, rows)];
}

function input({ input: value, endpoint_id: id, deleted }) {
  if (deleted) return h("p", { class: "quiet" }, "The caller has deleted input and output.");
  const again = endpointLink(id, { class: "button", onclick: () => sessionStorage.setItem("input", JSON.stringify({ id, value })) });
  again.textContent = "Use in the form";
  return [h("div", { class: "section-head" }, h("h3", {}, "Input"), h("div", { class: "bar" }, copyButton(JSON.stringify(value, null, 2)), again)), json(value)];
}

function webhook(found) {
  if (!found) return null;
  const attempts = found.attempts.map((one) => h("li", {}, `${clock(one.at)}: attempt ${one.attempt}, `, one.status ? `HTTP ${one.status}` : (one.error ?? "no answer"), one.delivered ? ", delivered" : ""));
  return [h("h3", {}, "Webhook"), h("p", {}, h("code", {}, found.url ?? "none in the submit")), attempts.length ? h("ol", {}, attempts) : h("p", { class: "quiet" }, "No attempt yet.")];
}

function requests({ requests: list, total }) {
  if (!total) return null;
  const shown = list.slice(-30);
  const rows = shown.map((one) => h("tr", {}, h("td", { class: "num" }, clock(one.at)), h("td", {}, link(`#/http/${one.number}`, one.kind)), h("td", {}, one.method), h("td", { class: "num" }, String(one.status ?? "–"))));
  return h("details", {}, h("summary", {}, `${plural(total, "HTTP request")}${total > shown.length ? `, the latest ${shown.length}` : ""}`), h("table", {}, h("caption", { class: "hidden" }, "HTTP requests about this request"), h("thead", {}, h("tr", {}, ["Arrived", "Operation", "Method", "Status"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows)));
}

