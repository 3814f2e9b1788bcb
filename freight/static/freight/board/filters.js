// Stages, states and the search: links that also work without a script, here without a reload.

const TYPING_MS = 250;

export class Filters {
  #tiles; #chips; #search; #onChange; #statuses; #counts = {}; #timer = null;

  constructor({ tiles, chips, search }, onChange) {
    this.#tiles = tiles;
    this.#chips = chips;
    this.#search = search;
    this.#onChange = onChange;
    this.#statuses = new URLSearchParams(location.search).get("status") ?? "";
    for (const box of [tiles, chips]) box.addEventListener("click", (event) => this.#pick(event));
    search.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#changed(), TYPING_MS);
    });
    search.form.addEventListener("submit", (event) => { event.preventDefault(); this.#changed(); });
    addEventListener("popstate", () => {
      const parameters = new URLSearchParams(location.search);
      this.#statuses = parameters.get("status") ?? "";
      this.#search.value = parameters.get("q") ?? "";
      this.#paint();
      this.#onChange();
    });
  }

  get query() {
    const parameters = new URLSearchParams();
    if (this.#statuses) parameters.set("status", this.#statuses);
    if (this.#search.value.trim()) parameters.set("q", this.#search.value.trim());
    return parameters.toString();
  }

  count(counts) {
    this.#counts = { ...counts };
    this.#paintCounts();
  }

  /** Counts the transition of a shipment in view. */
  moved(from, to) {
    if (!from || from === to || !(to in this.#counts)) return;
    this.#counts[from] -= 1;
    this.#counts[to] += 1;
    this.#paintCounts();
  }

  #pick(event) {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const again = link.dataset.status && link.dataset.status === this.#statuses;
    this.#statuses = again ? link.dataset.stage : link.dataset.status ?? link.dataset.statuses;
    this.#changed();
  }

  #changed() {
    history.pushState(null, "", this.query ? `/?${this.query}` : "/");
    this.#paint();
    this.#onChange();
  }

  #paint() {
    for (const tile of this.#tiles.children) {
      const states = tile.dataset.statuses.split(",").filter(Boolean);
      mark(tile, this.#statuses ? this.#statuses.split(",").every((state) => states.includes(state)) : !states.length);
    }
    const stage = this.#tiles.querySelector("[aria-current]")?.dataset.statuses;
    for (const chip of this.#chips.children) {
      chip.hidden = !stage || chip.dataset.stage !== stage;
      mark(chip, chip.dataset.status === this.#statuses);
    }
  }

  #paintCounts() {
    for (const tile of this.#tiles.children) {
      const states = tile.dataset.statuses.split(",").filter(Boolean);
      const count = (states.length ? states : Object.keys(this.#counts)).reduce((sum, state) => sum + this.#counts[state], 0);
      tile.querySelector(".tile-count").textContent = count.toLocaleString("en");
    }
    for (const chip of this.#chips.children) chip.querySelector(".chip-count").textContent = this.#counts[chip.dataset.status];
  }
}

function mark(link, chosen) {
  if (chosen) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
}
