// The last events beside the map, and the same in a few spoken words now and then.

import { element, eventWords, icon, placeWords, timeOfDay } from "../format.js";

const KEPT = 30;
const ANNOUNCE_MS = 4000; // a screen reader must be able to finish

export class Ticker {
  #list; #announcer; #onOpen; #unsaid = []; #timer = null;

  constructor(list, announcer, onOpen) {
    this.#list = list;
    this.#announcer = announcer;
    this.#onOpen = onOpen;
    list.addEventListener("click", ({ target }) => {
      if (target.closest("button")) this.#onOpen(target.closest("li").dataset.reference);
    });
  }

  add(shipment, event) {
    const item = element("li");
    item.dataset.reference = shipment.reference;
    item.dataset.status = event.status;
    const button = element("button", "", shipment.reference);
    button.type = "button";
    const time = element("time", "", timeOfDay(event.recordedAt));
    time.dateTime = event.recordedAt;
    const where = placeWords(event.location);
    item.append(icon(event.status), button, time, element("span", "what", where ? `${eventWords(event)} · ${where}` : eventWords(event)));
    this.#list.prepend(item);
    while (this.#list.children.length > KEPT) this.#list.lastChild.remove();
    if (event.data?.changes?.status) this.#say(`${shipment.reference}: ${eventWords(event)}`);
  }

  #say(sentence) {
    this.#unsaid.push(sentence);
    this.#timer ??= setTimeout(() => {
      const more = this.#unsaid.length - 3;
      this.#announcer.textContent = this.#unsaid.slice(-3).join(". ") + (more > 0 ? `. And ${more} more.` : ".");
      this.#unsaid = [];
      this.#timer = null;
    }, ANNOUNCE_MS);
  }
}
