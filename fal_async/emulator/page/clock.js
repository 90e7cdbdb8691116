// The emulator's time in the header: that of the machine, or a virtual one, which can be moved on here.

import { post } from "./api.js";
import { clock, date, h, say, setText } from "./dom.js";

const HOW = {
  auto: "Virtual time moves on as soon as requests only sleep. Moving it by hand also lets results, files and tokens expire.",
  manual: "Virtual time stands still until it is moved on by hand.",
};

export class Clock {
  constructor(place) {
    this.place = place;
    this.time = h("time", { class: "num" });
    this.how = h("p", { class: "quiet small" });
    this.error = h("p", { class: "error", role: "alert" });
    this.seconds = h("input", { type: "number", min: "0", step: "any", required: true, "aria-label": "Seconds to move on", placeholder: "seconds" });
    const steps = [[60, "+ 1 min"], [3600, "+ 1 h"]].map(([by, label]) => h("button", { type: "button", onclick: () => this.advance(by) }, label));
    const form = h("form", { class: "bar", onsubmit: (event) => (event.preventDefault(), this.advance(Number(this.seconds.value))) }, ...steps, this.seconds, h("button", {}, "Move on"));
    this.buttons = [...form.querySelectorAll("button")];
    this.details = h("details", { class: "clock" }, h("summary", {}, "virtual time ", this.time), h("div", { class: "panel" }, this.how, form, this.error));
  }

  update({ clock: { kind }, now }) {
    if (this.kind !== kind) {
      this.kind = kind;
      this.place.replaceChildren(kind === "real" ? h("span", { class: "quiet small" }, "real time") : this.details);
      setText(this.how, HOW[kind] ?? "");
    }
    setText(this.time, clock(now));
    this.time.title = date(now);
  }

  async advance(seconds) {
    setText(this.error, "");
    for (const button of this.buttons) button.disabled = true;
    try {
      const { now } = await post("clock", { seconds });
      say(`The emulator's time is ${clock(now)}`);
    } catch (error) {
      setText(this.error, error.message);
    } finally {
      for (const button of this.buttons) button.disabled = false;
    }
  }
}
