// The accounts: keys (hidden until asked for), balance, limit, and locks.

import { get, post } from "./api.js";
import { copyButton, dollars, h, keyed, setText } from "./dom.js";

const hidden = (key) => `${key.split(":")[0]}:${"•".repeat(6)}`;

export class Accounts {
  constructor(app) {
    this.app = app;
    this.cards = h("div", { class: "stack" });
    this.element = h("div", { class: "stack" }, h("div", { class: "title" }, h("h1", {}, "Accounts")), this.cards);
  }

  async update() {
    keyed(this.cards, await get("accounts"), (account) => account.nickname, (account) => this.card(account));
  }

  card(account) {
    const facts = h("dl", { class: "facts" });
    const lock = h("button", { type: "button", onclick: () => send(lock.dataset.action, {}) });
    const amount = h("input", { type: "number", min: "0", step: "any", placeholder: "no limit", "aria-label": `Balance of ${account.nickname} in US dollars` });
    const error = h("p", { class: "error", role: "alert" });
    const nickname = account.nickname;
    const send = async (path, body) => {
      setText(error, "");
      await post(path, { ...body, account: nickname }).catch((problem) => setText(error, problem.message));
      await this.update();
    };
    const set = h("form", { class: "bar", onsubmit: (event) => (event.preventDefault(), send("balance", { balance: amount.value === "" ? null : amount.value })) }, h("label", { class: "bar" }, "US dollars", amount), h("button", {}, "Set balance"));
    const keys = h("div", { class: "stack" }, this.key("API key", () => this.known[nickname].key), this.key("Admin key", () => this.known[nickname].admin_key));
    const element = h("section", { class: "panel", "aria-label": `Account ${nickname}` }, h("div", { class: "title" }, h("h2", {}, nickname), h("div", { class: "end" }, lock)), facts, keys, set, error);
    const update = (account) => {
      this.known = { ...this.known, [nickname]: account };
      const balance = account.balance === null ? "no limit" : dollars(account.balance);
      const limit = account.concurrency === null ? "no limit" : `${account.concurrency} at a time`;
      facts.replaceChildren(...Object.entries({ Balance: balance, Concurrency: limit, Running: String(account.running), State: account.locked ? "locked: exhausted balance" : "open" }).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
      lock.dataset.action = account.locked ? "unlock" : "lock";
      setText(lock, account.locked ? "Unlock" : "Lock, as with an exhausted balance");
      for (const key of keys.children) key.refresh();
    };
    update(account);
    return { element, update };
  }

  key(label, value) {
    let open = false;
    const text = h("code", {});
    const show = h("button", { type: "button", "aria-pressed": "false", "aria-label": `Show ${label}` }, "Show");
    const row = h("p", { class: "bar" }, h("span", {}, label), text, show, copyButton(value));
    row.refresh = () => setText(text, open ? value() : hidden(value()));
    show.addEventListener("click", () => {
      open = !open;
      show.setAttribute("aria-pressed", String(open));
      setText(show, open ? "Hide" : "Show");
      row.refresh();
    });
    return row;
  }
}
