// Elements from data. Foreign text is only ever set as text, so markup in it is shown, not read.

export function h(name, props = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else if (value === true) element.setAttribute(key, "");
    else element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const link = (href, text, props = {}) => h("a", { href, ...props }, text);
export const jobLink = (id, text, props = {}) => link(`#/requests/${encodeURIComponent(id)}`, text ?? shortId(id), { title: id, ...props });
export const endpointLink = (id, props = {}) => link(`#/endpoints/${id.split("/").map(encodeURIComponent).join("/")}`, id, props);
export const shortId = (id) => (id.length > 13 ? `${id.slice(0, 8)}…` : id);

// A switch is disabled until its state is known.
export function setSwitch(button, on) {
  button.setAttribute("aria-checked", String(on));
  button.disabled = false;
}

export const pill = (state) => h("span", { class: "pill", "data-tone": state }, state);

// Keeps one element for each key, so that focus, scrolling and media survive an update.
export function keyed(parent, items, keyOf, make) {
  const known = (parent.keptRows ??= new Map());
  const wanted = new Map();
  for (const item of items) {
    let key = String(keyOf(item));
    while (wanted.has(key)) key += "+"; // such as two webhooks that are sent while virtual time stands
    const row = known.get(key) ?? make(item);
    const json = JSON.stringify(item);
    if (row.json !== json) {
      row.json = json;
      row.update?.(item);
    }
    wanted.set(key, row);
  }
  for (const [key, row] of known) if (!wanted.has(key)) row.element.remove();
  let next = parent.firstChild;
  for (const row of wanted.values()) {
    if (row.element !== next) parent.insertBefore(row.element, next);
    else next = next.nextSibling;
  }
  parent.keptRows = wanted;
}

// A part that is built again only when its data have changed.
export function part(render) {
  const element = h("div", { class: "stack" });
  let before;
  return {
    element,
    update(data) {
      const json = JSON.stringify(data) ?? "";
      if (json === before) return;
      before = json;
      const made = [render(data)].flat().filter(Boolean);
      element.hidden = made.length === 0;
      element.replaceChildren(...made);
    },
  };
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The list keeps its place, and with it the focus; where the window is too narrow for both, the detail gets the focus.
export function showBeside(split, list, detail) {
  split.append(detail);
  detail.tabIndex = -1;
  if (getComputedStyle(list).display === "none") detail.focus({ preventScroll: true });
}

export function say(text) {
  document.getElementById("said").textContent = text;
}

export function copyButton(text, label = "Copy") {
  const button = h("button", { type: "button" }, label);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
    button.textContent = "Copied";
    say("Copied");
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

const KINDS = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

export function json(value) {
  const text = JSON.stringify(value, null, 2) ?? "";
  const pre = h("pre", { tabindex: "0", role: "group", "aria-label": "JSON" });
  if (text.length > 30000) return (pre.textContent = text), pre;
  let at = 0;
  for (const match of text.matchAll(KINDS)) {
    pre.append(text.slice(at, match.index));
    const kind = match[2] ? "key" : match[1] ? "text" : "other";
    pre.append(h("span", { class: kind }, match[1] ?? match[0]), match[2] ?? "");
    at = match.index + match[0].length;
  }
  pre.append(text.slice(at));
  return pre;
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.9995) return `${Math.max(0, Math.round(value * 1000))} ms`;
  if (value < 90) return `${value.toFixed(value < 10 ? 2 : 1)} s`;
  const whole = Math.round(value);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${count(Math.floor(whole / 3600))} h ${Math.floor((whole % 3600) / 60)} min`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
export const clock = (at) => (at ? CLOCK.format(at * 1000) : "–");
export const date = (at) => (at ? DATE.format(at * 1000) : "–");
export const count = (number) => Number(number).toLocaleString("en");
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
export const dollars = (value) => `$${Number(value).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 6 })}`;

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  const units = ["bytes", "KB", "MB", "GB"];
  let at = 0;
  for (; bytes >= 1000 && at < 3; at += 1) bytes /= 1000;
  return `${at && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[at]}`;
}
