// The emulator's JSON, and the stream of its changes. Everything is on the page's own origin.

export class Refused extends Error {}

async function call(method, path, body) {
  const answer = await fetch(`/_emulator/${path}`, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  const value = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Refused(value?.detail ?? `HTTP ${answer.status}`);
  return { value, total: Number(answer.headers.get("X-Total-Count")) };
}

const encoded = (name) => name.split("/").map(encodeURIComponent).join("/");
export const get = async (path) => (await call("GET", path)).value;
export const one = (kind, name) => get(`${kind}/${encoded(name)}`);
export const post = async (path, body = {}) => (await call("POST", path, body)).value;
export const remove = async (path, body) => (await call("DELETE", path, body)).value;

export function list(path, query) {
  const filled = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return call("GET", `${path}?${new URLSearchParams(Object.fromEntries(filled))}`);
}

export async function key(account) {
  const accounts = await get("accounts");
  return (accounts.find((one) => one.nickname === account) ?? accounts[0]).key;
}

// What a client of fal would send, with the key of an account.
export async function asClient(method, path, { body, account, headers = {} } = {}) {
  return fetch(path, { method, body, headers: { Authorization: `Key ${await key(account)}`, ...headers } });
}

// One stream for the page. It is closed while the page is hidden, so that the emulator has nothing to do for it.
export class Live {
  constructor(changed, stateChanged) {
    this.changed = changed;
    this.stateChanged = stateChanged;
    this.job = null;
    this.shift = 0;
    this.stands = null;
    document.addEventListener("visibilitychange", () => this.open());
  }

  watch(job) {
    if (job === this.job && this.source) return;
    this.job = job;
    this.open();
  }

  open() {
    this.source?.close();
    this.source = null;
    if (document.hidden) return;
    const source = (this.source = new EventSource(`/_emulator/changes${this.job ? `?job=${encodeURIComponent(this.job)}` : ""}`));
    source.addEventListener("open", () => this.stateChanged("live"));
    source.addEventListener("error", () => this.stateChanged("lost"));
    source.addEventListener("message", (event) => {
      const overview = JSON.parse(event.data);
      this.stands = overview.clock.kind === "real" ? null : overview.now; // virtual time moves only when the emulator says so
      this.shift = overview.now - Date.now() / 1000;
      this.changed(overview);
    });
  }

  now() {
    return this.stands ?? Date.now() / 1000 + this.shift;
  }
}
