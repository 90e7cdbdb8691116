// A form from a JSON schema: simple members have fields of their own, all others are written as JSON.

import { asClient } from "./api.js";
import { h, setText } from "./dom.js";

const LONG = /prompt|text|description|script|lyrics/;

// Resolves references, and what stands for "this or null".
export function resolved(schema, root, depth = 0) {
  if (!schema || typeof schema !== "object" || depth > 20) return {};
  if (typeof schema.$ref === "string") {
    const found = schema.$ref.replace(/^#\/?/, "").split("/").filter(Boolean).reduce((at, name) => at?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], root);
    const { $ref, ...rest } = schema;
    return { ...resolved(found, root, depth + 1), ...rest };
  }
  for (const word of ["allOf", "anyOf", "oneOf"]) {
    const options = schema[word]?.filter((one) => one?.type !== "null");
    if (options?.length === 1) {
      const { [word]: dropped, ...rest } = schema;
      return { ...resolved(options[0], root, depth + 1), ...rest };
    }
  }
  return schema;
}

export function inputSchema(openapi, id) {
  const body = openapi?.paths?.[`/${id}`]?.post?.requestBody?.content?.["application/json"]?.schema;
  return body ? resolved(body, openapi) : null;
}

function example(schema) {
  if (schema.example !== undefined) return schema.example;
  return Array.isArray(schema.examples) ? schema.examples[0] : undefined;
}

// One field: its element, and `read`, which returns undefined if nothing was entered, and throws for bad JSON.
function field(name, schema, root, needed) {
  const id = `in-${name}`;
  const usual = schema.default;
  const alternatives = (schema.anyOf ?? schema.oneOf ?? []).map((one) => resolved(one, root));
  const words = schema.enum ?? alternatives.find((one) => one.enum)?.enum;
  const standard = usual === undefined ? "not sent" : `default: ${typeof usual === "string" ? usual || "empty" : JSON.stringify(usual)}`;
  const first = needed ? example(schema) : undefined;
  if (words && words.every((word) => typeof word !== "object")) return select(id, words, standard, first, alternatives.length > 0);
  if (schema.type === "boolean") return select(id, [true, false], standard, first, false);
  if (schema.type === "integer" || schema.type === "number") {
    const input = h("input", { id, type: "number", step: schema.type === "integer" ? "1" : "any", min: limit(schema.minimum), max: limit(schema.maximum), placeholder: standard, value: first === undefined ? null : String(first) });
    return { element: input, read: () => (input.value === "" ? undefined : Number(input.value)), write: (value) => (input.value = value ?? "") };
  }
  if (schema.type === "string") return text(id, name, standard, first ?? (needed ? usual : undefined));
  return asJson(id, standard, first);
}

const limit = (number) => (typeof number === "number" ? String(number) : null);

function select(id, words, standard, first, other) {
  const more = h("input", { type: "text", placeholder: "JSON", "aria-label": "Other value, as JSON", hidden: true });
  const element = h("select", { id }, h("option", { value: "" }, standard), words.map((word) => h("option", { value: JSON.stringify(word) }, String(word))), other && h("option", { value: "other" }, "another value, as JSON"));
  const shown = () => (more.hidden = element.value !== "other");
  element.addEventListener("change", shown);
  const write = (value) => {
    const text = value === undefined ? "" : JSON.stringify(value);
    const known = [...element.options].some((option) => option.value === text);
    element.value = known ? text : "other";
    if (!known) more.value = text;
    shown();
  };
  write(first);
  return { element: h("span", { class: "bar" }, element, more), read: () => (element.value === "" ? undefined : JSON.parse(element.value === "other" ? more.value : element.value)), write };
}

function text(id, name, standard, first) {
  const long = LONG.test(name) && !name.endsWith("_url");
  const input = h(long ? "textarea" : "input", long ? { id, rows: "3", placeholder: standard } : { id, type: "text", placeholder: standard });
  input.value = typeof first === "string" ? first : "";
  const read = () => (input.value === "" ? undefined : input.value);
  const write = (value) => (input.value = typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value));
  if (!name.endsWith("_url")) return { element: input, read, write, wide: long };
  const status = h("span", { class: "quiet small", role: "status" });
  const file = h("input", { type: "file", "aria-label": `Upload a file for ${name}`, onchange: () => upload(file.files[0], input, status) });
  return { element: h("div", { class: "stack" }, input, file, status), read, write, wide: true };
}

async function upload(file, input, status) {
  if (!file) return;
  setText(status, "uploading");
  const type = file.type || "application/octet-stream";
  const answer = await asClient("POST", "/rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3", { body: JSON.stringify({ content_type: type, file_name: file.name }), headers: { "Content-Type": "application/json" } });
  const places = await answer.json();
  const sent = answer.ok && (await fetch(places.upload_url, { method: "PUT", body: file, headers: { "Content-Type": type } }));
  setText(status, sent?.ok ? "uploaded" : `refused: HTTP ${sent?.status ?? answer.status}`);
  if (sent?.ok) {
    input.value = places.file_url;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

function asJson(id, standard, first) {
  const area = h("textarea", { id, rows: "3", placeholder: `JSON, ${standard}`, spellcheck: "false" });
  const write = (value) => (area.value = value === undefined ? "" : JSON.stringify(value, null, 2));
  write(first);
  return { element: area, read: () => (area.value.trim() ? JSON.parse(area.value) : undefined), write, wide: true };
}

export class InputForm {
  constructor(schema, root, changed) {
    this.fields = {};
    const properties = schema?.properties ?? {};
    const order = schema?.["x-fal-order-properties"] ?? Object.keys(properties);
    const names = [...new Set([...order.filter((name) => name in properties), ...Object.keys(properties)])];
    const needed = new Set(schema?.required ?? []);
    names.sort((one, other) => needed.has(other) - needed.has(one));
    const shown = names.map((name) => this.field(name, resolved(properties[name], root), root, needed.has(name)));
    const area = asJson("in-json", "an object", {});
    this.json = { ...area, wrap: h("div", { class: "field" }, h("label", { for: "in-json" }, "Input as JSON"), area.element) };
    area.element.rows = 14;
    this.grid = h("div", { class: "fields" }, shown);
    this.asForm = names.length > 0;
    this.rest = {};
    this.error = h("p", { class: "error", role: "alert" });
    this.element = h("div", { class: "stack", oninput: changed, onchange: changed }, this.grid, this.json.wrap, this.error);
    this.show();
  }

  field(name, schema, root, needed) {
    const made = (this.fields[name] = field(name, schema, root, needed));
    const range = [schema.minimum !== undefined && `from ${schema.minimum}`, schema.maximum !== undefined && `to ${schema.maximum}`].filter(Boolean).join(" ");
    const hint = [schema.description, range].filter(Boolean).join(" ");
    return h("div", { class: `field ${made.wide ? "wide" : ""}` }, h("label", { for: `in-${name}` }, h("code", {}, name), " ", needed && h("span", { class: "must" }, "required")), made.element, hint && h("span", { class: "hint" }, hint));
  }

  show() {
    this.grid.hidden = !this.asForm;
    this.json.wrap.hidden = this.asForm;
  }

  // Switches between fields and JSON; members without a field are kept.
  turn(asForm) {
    if (asForm === this.asForm) return true;
    const value = this.read();
    if (value === undefined) return false;
    this.asForm = asForm;
    this.write(value);
    this.show();
    return true;
  }

  write(value) {
    if (!this.asForm) return this.json.write(value);
    this.rest = Object.fromEntries(Object.entries(value ?? {}).filter(([name]) => !(name in this.fields)));
    for (const [name, one] of Object.entries(this.fields)) one.write(value?.[name]);
  }

  // Returns the input, or undefined if some JSON in it is wrong, which the form then says.
  read() {
    let at = "the input";
    try {
      setText(this.error, "");
      if (!this.asForm) return this.json.read() ?? {};
      const input = {};
      for (const [name, one] of Object.entries(this.fields)) {
        at = name;
        const value = one.read();
        if (value !== undefined) input[name] = value;
      }
      return { ...input, ...this.rest };
    } catch (error) {
      setText(this.error, `${at}: ${error.message}`);
      return undefined;
    }
  }
}
