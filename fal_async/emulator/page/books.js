// The books: how many requests were accepted for each input. What was accepted twice would be paid twice.

import { get } from "./api.js";
import { count, endpointLink, h, jobLink, plural } from "./dom.js";

export class Books {
  constructor() {
    this.twice = h("div", { class: "stack" });
    this.rows = h("tbody");
    this.table = h("table", {}, h("caption", { class: "hidden" }, "Accepted requests by endpoint"), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Endpoint"), ...["Accepted", "Different inputs", "Inputs accepted twice or more"].map((name) => h("th", { scope: "col", class: "num" }, name)))), this.rows);
    this.element = h(
      "div",
      { class: "stack" },
      h("div", { class: "title" }, h("h1", {}, "Books")),
      h("p", { class: "quiet" }, "Every accepted request would be billed on fal. Requests whose jobs are deleted are still counted."),
      this.twice,
      h("section", { class: "panel flush scroll", "aria-label": "Accepted requests by endpoint" }, this.table),
    );
  }

  async update(overview) {
    if (this.accepted === overview.jobs.accepted) return;
    this.accepted = overview.jobs.accepted;
    const books = Object.entries(await get("books"));
    const repeated = books.flatMap(([, one]) => one.repeated);
    this.rows.replaceChildren(...books.map(([id, one]) => h("tr", {}, h("td", {}, endpointLink(id)), ...[one.taken, one.inputs, one.repeated.length].map((number) => h("td", { class: "num" }, count(number))))));
    if (!books.length) this.rows.replaceChildren(h("tr", {}, h("td", { class: "quiet", colspan: "4" }, "No accepted request yet.")));
    this.twice.replaceChildren(
      ...repeated.slice(0, 100).map((line) =>
        h("section", { class: "panel warn", "aria-label": "An input that was accepted more than once" }, h("p", {}, h("b", {}, `Paid ${line.taken} times: `), endpointLink(line.endpoint_id), h("span", { class: "quiet" }, " input ", h("code", {}, line.input_digest.slice(0, 12)))), h("p", { class: "bar" }, line.request_ids.slice(0, 40).map((id) => jobLink(id)), line.request_ids.length > 40 && `and ${count(line.request_ids.length - 40)} more`)),
      ),
      ...(repeated.length > 100 ? [h("p", { class: "quiet" }, `and ${plural(repeated.length - 100, "more input")}`)] : []),
      ...(books.length && !repeated.length ? [h("p", { class: "panel" }, h("span", { class: "pill", "data-tone": "completed" }, "nothing paid twice"))] : []),
    );
  }
}
