// The detail panel: facts and timeline of one shipment, live while it is open.

import { absolute, element, eventWords, icon, paintFlags, paintPill, placeWords, relative } from "../format.js";

const referenceWords = ([name, values]) => [values].flat().map(
  (value) => (String(value).toUpperCase().startsWith(name.toUpperCase()) ? String(value) : `${name.toUpperCase()} ${value}`),
);

export class Panel {
  #box; #onClose; #reference = null; #events = new Map();

  constructor(box, onClose) {
    this.#box = box;
    this.#onClose = onClose;
    box.querySelector(".panel-close").addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !box.hidden) this.close();
    });
  }

  get reference() { return this.#reference; }

  async open(shipment) {
    this.#reference = shipment.reference;
    this.#events.clear();
    this.#box.querySelector(".timeline").replaceChildren();
    this.#problem("");
    this.#box.hidden = false;
    this.paint(shipment);
    this.#box.querySelector("h2").focus({ preventScroll: true });
    await this.#load(shipment.reference);
  }

  close() {
    const reference = this.#reference;
    this.#reference = null;
    this.#box.hidden = true;
    this.#onClose(reference);
  }

  paint(shipment) {
    if (shipment.reference !== this.#reference) return;
    this.#box.querySelector("h2").textContent = shipment.reference;
    paintPill(this.#box.querySelector(".pill"), shipment.status);
    paintFlags(this.#box.querySelector(".flags"), shipment.flags);
    const when = (at) => (at ? `${absolute(at)} (${relative(at)})` : "");
    const facts = [
      ["From", placeWords(shipment.origin)], ["To", placeWords(shipment.destination)],
      ["ETA", when(shipment.eta)], ["Delivered", when(shipment.deliveredAt)],
      ["Customer", shipment.customer?.name], ["Driver", [shipment.driver?.name, shipment.driver?.phone].filter(Boolean).join("\n")],
      ["Load", [shipment.pieces && `${shipment.pieces} pieces`, shipment.weightKg && `${shipment.weightKg} kg`].filter(Boolean).join(", ")],
      ["References", Object.entries(shipment.references ?? {}).flatMap(referenceWords).join("\n")],
      ["Notes", shipment.notes],
    ].filter(([, text]) => text);
    this.#box.querySelector(".facts").replaceChildren(
      ...facts.flatMap(([name, text]) => [element("dt", "", name), element("dd", "", text)]),
    );
  }

  /** Adds an event of the log, once; `fresh` marks one that has just come. */
  add(reference, event, { fresh = false } = {}) {
    if (reference !== this.#reference || this.#events.has(event.seq)) return;
    this.#events.set(event.seq, event);
    const item = element("li", fresh ? "fresh" : "");
    item.dataset.seq = event.seq;
    item.dataset.status = event.status;
    const time = element("time", "", `${absolute(event.occurredAt)} · ${event.actor?.role ?? "system"}`);
    time.dateTime = event.occurredAt;
    item.append(icon(event.status), element("b", "", eventWords(event)));
    if (event.location) item.append(element("span", "where", placeWords(event.location)));
    item.append(time);
    if (event.data?.note) item.append(element("p", "note", event.data.note));
    const list = this.#box.querySelector(".timeline");
    const older = [...list.children].find((each) => Number(each.dataset.seq) < event.seq);
    list.insertBefore(item, older ?? null);
  }

  async #load(reference) {
    try {
      let after = 0;
      for (let page = 0; page < 5; page += 1) { // 1,000 events: more than any honest shipment has
        const answer = await fetch(`/api/shipments/${encodeURIComponent(reference)}/events?after=${after}&limit=200`, { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(String(answer.status));
        const { events, seq } = await answer.json();
        for (const event of events) this.add(reference, event);
        after = events.at(-1)?.seq ?? seq;
        if (!events.length || after >= seq || this.#reference !== reference) return;
      }
    } catch {
      if (this.#reference === reference) this.#problem("The timeline could not be loaded. New events still appear here.");
    }
  }

  #problem(text) {
    const box = this.#box.querySelector(".alert");
    box.hidden = !text;
    box.textContent = text;
  }
}
