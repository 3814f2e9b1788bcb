// The rows: rendered by the server, updated by the log. Stored text is only ever set as text, never as markup.

import { absolute, paintFlags, paintPill, relative } from "../format.js";
import { serverNow } from "../server_clock.js";

export class Table {
  #body; #template; #onOpen; #rows = new Map();

  constructor(body, template, onOpen) {
    this.#body = body;
    this.#template = template;
    this.#onOpen = onOpen;
    for (const row of body.rows) this.#rows.set(row.dataset.reference, row);
    body.addEventListener("click", (event) => this.#open(event.target.closest("tr")));
    body.addEventListener("keydown", (event) => this.#key(event));
    body.addEventListener("focusin", (event) => this.#rove(event.target.closest("tr")));
    this.#rove(body.rows[0]);
  }

  get references() { return [...this.#rows.keys()]; }
  has(reference) { return this.#rows.has(reference); }

  /** Shows these shipments, in this order. */
  show(shipments) {
    const focused = document.activeElement?.closest?.("tr")?.dataset.reference;
    const rows = new Map(shipments.map((shipment) => [shipment.reference, this.#rows.get(shipment.reference)]));
    this.#rows.clear();
    for (const shipment of shipments) {
      this.#rows.set(shipment.reference, rows.get(shipment.reference) ?? this.#make());
      this.paint(shipment);
    }
    this.#body.replaceChildren(...this.#rows.values());
    (this.#rows.get(focused) ?? null)?.focus();
    if (!this.#body.querySelector("tr[tabindex='0']")) this.#rove(this.#body.rows[0]);
  }

  /** Puts a new shipment on top. */
  insert(shipment) {
    this.#rows.set(shipment.reference, this.#make());
    this.paint(shipment);
    this.#body.prepend(this.#rows.get(shipment.reference));
    this.#flash(this.#rows.get(shipment.reference));
  }

  remove(reference) {
    const row = this.#rows.get(reference);
    if (!row) return;
    if (row.contains(document.activeElement)) (row.nextElementSibling ?? row.previousElementSibling)?.focus();
    row.remove();
    this.#rows.delete(reference);
    if (!this.#body.querySelector("tr[tabindex='0']")) this.#rove(this.#body.rows[0]);
  }

  paint(shipment, { flash = false } = {}) {
    const row = this.#rows.get(shipment.reference);
    if (!row) return;
    const part = (selector) => row.querySelector(selector);
    row.dataset.reference = shipment.reference;
    row.dataset.status = shipment.status;
    part(".reference").textContent = shipment.reference;
    paintPill(part(".pill"), shipment.status);
    for (const end of ["origin", "destination"]) {
      part(`.${end} .place-name`).textContent = shipment[end]?.name ?? "–";
      part(`.${end} .country`).textContent = shipment[end]?.country ?? "";
    }
    part(".cell-customer").textContent = shipment.customer?.name ?? "–";
    part(".cell-driver").textContent = shipment.driver?.name ?? "–";
    const arrival = arrivalOf(shipment);
    if (arrival) part(".eta").dateTime = arrival;
    else part(".eta").removeAttribute("datetime");
    part(".eta .absolute").textContent = arrival ? absolute(arrival) : "–";
    part(".updated").dateTime = shipment.updatedAt;
    paintFlags(part(".flags"), shipment.flags);
    this.#tickRow(row);
    if (flash) this.#flash(row);
  }

  choose(reference) {
    for (const [each, row] of this.#rows) row.classList.toggle("chosen", each === reference);
  }

  focus(reference) { this.#rows.get(reference)?.focus(); }
  tick() { for (const row of this.#rows.values()) this.#tickRow(row); }

  #make() { return this.#template.content.firstElementChild.cloneNode(true); }

  #tickRow(row) {
    const updated = row.querySelector(".updated");
    setText(updated, relative(updated.dateTime));
    updated.title = absolute(updated.dateTime);
    const eta = row.querySelector(".eta");
    const at = eta.getAttribute("datetime");
    const late = at && Date.parse(at) < serverNow() && row.dataset.status !== "delivered";
    setText(eta.querySelector(".relative"), at ? `${row.dataset.status === "delivered" ? "arrived " : ""}${relative(at)}` : "");
    eta.querySelector(".relative").classList.toggle("overdue", Boolean(late));
  }

  #flash(row) {
    row.classList.remove("flash");
    void row.offsetWidth; // restarts the animation
    row.classList.add("flash");
  }

  #open(row) { if (row) this.#onOpen(row.dataset.reference); }

  /** Roving tabindex: one row is in the tab order. */
  #rove(row) {
    if (!row) return;
    for (const each of this.#body.querySelectorAll("tr[tabindex='0']")) each.tabIndex = -1;
    row.tabIndex = 0;
  }

  #key(event) {
    const row = event.target.closest("tr");
    const rows = this.#body.rows;
    const to = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling, Home: rows[0], End: rows[rows.length - 1] }[event.key];
    if (event.key === "Enter" || event.key === " ") this.#open(row);
    else if (to) to.focus();
    else return;
    event.preventDefault();
  }
}

/** The time of arrival, expected or actual; null for a shipment that will not arrive. */
function arrivalOf({ status, eta, deliveredAt }) {
  if (["returned", "cancelled", "lost"].includes(status)) return null;
  return status === "delivered" ? deliveredAt ?? eta : eta;
}

function setText(target, text) { if (target.textContent !== text) target.textContent = text; }
