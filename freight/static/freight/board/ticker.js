// The latest events beside the map, announced to screen readers in batches.

import { element, eventWords, icon, placeWords, timeOfDay } from "../format.js";

const MAX_ITEMS = 30;
const ANNOUNCE_MS = 4000; // time for a screen reader to finish

export class Ticker {
  #list; #announcer; #onOpen; #unannounced = []; #timer = null;

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
    while (this.#list.children.length > MAX_ITEMS) this.#list.lastChild.remove();
    if (event.data?.changes?.status) this.#say(`${shipment.reference}: ${eventWords(event)}`);
  }

  #say(sentence) {
    this.#unannounced.push(sentence);
    this.#timer ??= setTimeout(() => {
      const more = this.#unannounced.length - 3;
      this.#announcer.textContent = this.#unannounced.slice(-3).join(". ") + (more > 0 ? `. And ${more} more.` : ".");
      this.#unannounced = [];
      this.#timer = null;
    }, ANNOUNCE_MS);
  }
}
