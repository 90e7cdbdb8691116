// Faults to switch on and off, and a form for every kind of fault.

import { get, post, remove } from "./api.js";
import { h, keyed, setSwitch, setText } from "./dom.js";

// Switched on, a fault applies to every matching call until it is switched off.
const SWITCHES = [
  ["Submits answer 503", "The client must not submit twice without need", { kind: "answer", status: 503, on: "submit" }],
  ["Submits are accepted, then reset", "The answer is lost: would it be paid twice?", { kind: "reset", taken: true, on: "submit" }],
  ["Polls answer 429", "Retry-After is one second", { kind: "answer", status: 429, retry_after: "1", on: "status" }],
  ["Polls answer an HTML page", "502 of the gateway, without fal's headers", { kind: "html", status: 502, on: "status" }],
  ["Results are late", "Three seconds of silence before the headers", { kind: "stall", seconds: 3, on: "result" }],
  ["Results are broken JSON", "Half of the body, with complete HTTP", { kind: "wrong_json", on: "result" }],
  ["Downloads break off", "Half of the file, then the connection closes", { kind: "truncate", on: "file" }],
  ["Balance is exhausted", "Submits answer 403", { kind: "balance", on: "submit" }],
  ["Every tenth call is reset", "At random, on any operation", { kind: "reset", chance: 0.1 }],
];
const WORDS = { any: "any operation" };

export class Faults {
  constructor(app) {
    this.app = app;
    this.switches = SWITCHES.map(([label, why, fault]) => this.toggle(label, why, { ...fault, times: null }));
    this.rows = h("tbody");
    this.table = h("table", {}, h("caption", { class: "hidden" }, "Faults that may still apply"), h("thead", {}, h("tr", {}, ["Fault", "On", "Left", "Remove"].map((name) => h("th", { scope: "col" }, name)))), this.rows);
    this.none = h("p", { class: "empty" }, "No fault: every call is answered as fal answers it.");
    this.struck = h("p", { class: "quiet", role: "status" });
    this.form = h("div");
    const clear = h("button", { type: "button", class: "danger", onclick: () => remove("faults") }, "Remove all");
    this.element = h(
      "div",
      { class: "stack" },
      h("div", { class: "title" }, h("h1", {}, "Faults"), this.struck, h("div", { class: "end" }, clear)),
      h("section", { class: "switches", "aria-label": "Switches" }, this.switches.map((one) => one.element)),
      h("section", { class: "panel flush scroll", "aria-label": "Faults that may still apply" }, this.table, this.none),
      h("h2", {}, "Add a fault"),
      this.form,
    );
    Promise.all([get("faults/kinds"), get("endpoints")]).then(([known, endpoints]) => this.form.replaceChildren(new FaultForm(known, endpoints).element));
  }

  toggle(label, why, fault) {
    const element = h("button", { type: "button", class: "switch", role: "switch", "aria-checked": "false", disabled: true }, h("span", { class: "knob" }), h("b", {}, label), h("span", { class: "quiet small" }, why));
    element.addEventListener("click", () => (element.getAttribute("aria-checked") === "true" ? remove("faults", fault) : post("faults", fault)));
    return { element, fits: (other) => Object.entries(fault).every(([name, value]) => JSON.stringify(other[name]) === JSON.stringify(value)) && other.times === null };
  }

  update({ faults, struck }) {
    for (const one of this.switches) setSwitch(one.element, faults.some(({ fault }) => one.fits(fault)));
    setText(this.struck, struck === 1 ? "1 call got a fault so far" : `${struck} calls got a fault so far`);
    this.table.hidden = !faults.length;
    this.none.hidden = faults.length > 0;
    keyed(this.rows, faults, ({ fault }) => JSON.stringify(fault), ({ fault }) => {
      const left = h("td");
      const element = h("tr", {}, h("td", {}, h("b", {}, fault.kind), " ", h("span", { class: "quiet small" }, details(fault))), h("td", {}, WORDS[fault.on] ?? fault.on, fault.endpoint_id && h("span", { class: "quiet small" }, ` of ${fault.endpoint_id}`)), left, h("td", {}, h("button", { type: "button", "aria-label": `Remove ${fault.kind} on ${fault.on}`, onclick: () => remove("faults", fault) }, "Remove")));
      const update = (now) => setText(left, `${now.left ?? "no limit"}${now.skip ? `, after ${now.skip} more calls` : ""}`);
      return { element, update };
    });
  }
}

const USUAL = { on: null, kind: null, endpoint_id: null, times: null, after: 0, chance: 1, taken: false, events: 1, where: "headers", fal_headers: true, cut: "event", binary: false, position: 0, seconds: 0 };

function details(fault) {
  const told = Object.entries(fault).filter(([name, value]) => value !== null && value !== "" && !(name in USUAL && (USUAL[name] === value || USUAL[name] === null)) && !(typeof value === "object" && !Object.keys(value).length));
  return told.map(([name, value]) => `${name.replaceAll("_", " ")} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}

class FaultForm {
  constructor(known, endpoints) {
    this.known = known;
    this.kind = h("select", { id: "fault-kind", onchange: () => this.changed() }, Object.keys(known.kinds).map((kind) => h("option", { value: kind }, kind)));
    this.on = h("select", { id: "fault-on" });
    this.endpoint = h("select", { id: "fault-endpoint" }, h("option", { value: "" }, "every endpoint"), endpoints.map(({ endpoint_id: id }) => h("option", { value: id }, id)));
    this.times = h("input", { id: "fault-times", type: "number", min: "1", value: "1" });
    this.after = h("input", { id: "fault-after", type: "number", min: "0", value: "0" });
    this.chance = h("input", { id: "fault-chance", type: "number", min: "0", max: "1", step: "any", value: "1" });
    this.own = h("div", { class: "fields" });
    this.error = h("p", { class: "error", role: "alert" });
    const field = (input, label, hint) => h("div", { class: "field" }, h("label", { for: input.id }, label), input, hint && h("span", { class: "hint" }, hint));
    this.element = h(
      "form",
      { class: "panel", onsubmit: (event) => (event.preventDefault(), this.add()) },
      h("div", { class: "fields" }, field(this.kind, "Kind"), field(this.on, "On"), field(this.endpoint, "Endpoint"), field(this.times, "Times", "empty: no limit"), field(this.after, "After so many calls"), field(this.chance, "Chance", "0 to 1")),
      this.own,
      this.error,
      h("p", {}, h("button", { class: "main" }, "Add")),
    );
    this.kind.value = "answer";
    this.changed();
  }

  changed() {
    const { fields, operations } = this.known.kinds[this.kind.value];
    const before = this.on.value;
    this.on.replaceChildren(...operations.map((name) => h("option", { value: name }, WORDS[name] ?? name)));
    if (operations.includes(before)) this.on.value = before;
    this.inputs = Object.entries(fields).map(([name, value]) => ({ name, usual: value, input: own(name, value) }));
    this.own.replaceChildren(...this.inputs.map(({ name, input }) => h("div", { class: "field" }, h("label", { for: input.id }, name.replaceAll("_", " ")), input)));
  }

  async add() {
    const fault = { kind: this.kind.value, on: this.on.value, times: this.times.value ? Number(this.times.value) : null, after: Number(this.after.value), chance: Number(this.chance.value) };
    if (this.endpoint.value) fault.endpoint_id = this.endpoint.value;
    try {
      for (const { name, usual, input } of this.inputs) {
        const value = input.type === "checkbox" ? input.checked : read(name, usual, input.value);
        if (value !== undefined && value !== usual) fault[name] = value;
      }
      await post("faults", fault);
      setText(this.error, "");
    } catch (error) {
      setText(this.error, error.message);
    }
  }
}

const NUMBERS = new Set(["status", "seconds", "position", "events", "code"]);
const JSONS = { headers: "{}", fields: "{}", names: "[]", detail: "" };
const CHOICES = { where: ["headers", "body"], cut: ["event", "character", "clean"], needs_retry: ["", "true", "false"] };

function own(name, value) {
  const id = `fault-own-${name}`;
  if (typeof value === "boolean") return h("input", { id, type: "checkbox", checked: value });
  if (CHOICES[name]) {
    const select = h("select", { id }, CHOICES[name].map((one) => h("option", { value: one }, one || "not sent")));
    if (typeof value === "string") select.value = value;
    return select;
  }
  if (NUMBERS.has(name)) return h("input", { id, type: "number", step: "any", value: String(value ?? (name === "status" ? 503 : name === "code" ? 1011 : "")) });
  return h("input", { id, type: "text", value: typeof value === "string" ? value : "", placeholder: JSONS[name] !== undefined ? "JSON" : "" });
}

function read(name, usual, text) {
  if (text === "") return usual ?? undefined;
  if (NUMBERS.has(name)) return Number(text);
  if (name === "needs_retry") return text === "true";
  return name in JSONS ? JSON.parse(text) : text;
}
