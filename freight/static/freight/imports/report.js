// The card of one import: its progress, the outcome of its rows, and the rows of one outcome with their errors.

import { element, label } from "../format.js";

const counted = new Intl.NumberFormat("en-GB");
const WORDS = { created: "new", updated: "changed", unchanged: "unchanged", failed: "with errors", warned: "with warnings" };
const ENDS = {
  succeeded: "Everything that could be applied is.",
  cancelled: "Cancelled. What was applied until then stays.",
  failed: "It could not be finished. What was applied until then stays.",
};

export class ImportReport {
  #card; #fetchRows = null; #counts = null; #outcome = null; #next = null; #turn = 0;

  constructor(card) {
    this.#card = card;
    for (const button of this.#buttons()) button.addEventListener("click", () => this.#open(button.dataset.outcome));
    this.#find("more").addEventListener("click", () => this.#fetch(this.#next));
  }

  begin(title, note) {
    this.#turn += 1;
    this.#fetchRows = this.#counts = this.#outcome = null;
    this.#card.hidden = false;
    this.#find("work-heading").textContent = title;
    this.#state("");
    this.note(note);
    for (const id of ["refusal", "bar", "counts", "rows", "more"]) this.#find(id).hidden = true;
    this.#find("rows-note").textContent = "";
    this.offer({});
  }

  note(text) { this.#find("work-note").textContent = text; }

  focus() { this.#find("work-heading").focus(); }

  /** Shows the buttons of the next step; `apply` is the label of the first. */
  offer({ apply = "", cancel = false, other = false, board = false }) {
    const button = this.#find("apply");
    button.textContent = apply;
    button.hidden = !apply;
    this.#find("cancel").hidden = !cancel;
    this.#find("other").hidden = !other;
    this.#find("to-board").hidden = !board;
  }

  progress(state, { done, total }) {
    this.#state(state);
    this.#find("bar").hidden = false;
    const bar = this.#find("progress");
    bar.max = total || 1;
    bar.value = done;
    this.#find("bar-words").textContent = state === "queued" ? "Waits for its turn." : `${counted.format(done)} of ${counted.format(total)} rows`;
  }

  ended(state, error) {
    this.#state(state);
    this.#find("bar").hidden = true;
    this.note(error || ENDS[state] || "");
  }

  refuse = ({ detail = "Something broke on this page.", errors = [] }) => {
    const box = this.#find("refusal"), list = element("ul");
    list.append(...errors.map(({ field, message }) => element("li", "", field === "file" ? message : `${field}: ${message}`)));
    box.replaceChildren(element("p", "", errors.length ? "This file cannot be imported." : detail), ...(errors.length ? [list] : []));
    box.hidden = false;
  };

  /** Shows the counts; `fetchRows(query)` returns a page of the rows with that outcome, or with warnings. */
  show({ counts: outcomes, warned }, fetchRows) {
    const counts = { ...outcomes, warned };
    this.#counts = counts;
    this.#fetchRows = fetchRows;
    for (const button of this.#buttons()) {
      const count = counts[button.dataset.outcome];
      button.querySelector("b").textContent = counted.format(count);
      button.disabled = count === 0;
      button.setAttribute("aria-pressed", "false");
    }
    this.#find("counts").hidden = false;
    const first = ["failed", "warned", "updated", "created", "unchanged"].find((outcome) => counts[outcome]);
    if (first) this.#open(first);
  }

  words() {
    const told = Object.entries(WORDS).filter(([outcome]) => outcome !== "warned" || this.#counts.warned);
    return told.map(([outcome, word]) => `${counted.format(this.#counts[outcome])} ${word}`).join(", ");
  }

  #find(id) { return this.#card.querySelector(`#${id}`); }
  #buttons() { return this.#card.querySelectorAll("[data-outcome]"); }

  #state(state) {
    this.#find("work-state").dataset.state = state;
    this.#find("work-state").textContent = state && label(state);
  }

  #open(outcome) {
    this.#outcome = outcome;
    this.#turn += 1;
    for (const button of this.#buttons()) button.setAttribute("aria-pressed", String(button.dataset.outcome === outcome));
    this.#find("rows-caption").textContent = `Rows ${WORDS[outcome]}`;
    this.#find("rows").tBodies[0].replaceChildren();
    this.#fetch(0);
  }

  async #fetch(after) {
    const turn = this.#turn;
    this.#find("more").hidden = true;
    try {
      const chosen = this.#outcome === "warned" ? { warned: "true" } : { outcome: this.#outcome };
      const page = await this.#fetchRows({ ...chosen, after, limit: 100 });
      if (turn !== this.#turn) return; // another outcome is shown by now
      this.#find("rows").hidden = false;
      this.#find("rows").tBodies[0].append(...page.rows.map(line));
      this.#next = page.next;
      const shown = this.#find("rows").tBodies[0].rows.length, all = this.#counts[this.#outcome];
      this.#find("rows-note").textContent = shown < all ? `${counted.format(shown)} of ${counted.format(all)} rows` : "";
      this.#find("more").hidden = shown >= all || page.next === null;
    } catch (problem) {
      if (turn === this.#turn) this.refuse(problem);
    }
  }
}

function line({ row, reference, outcome, changed, errors, warnings }) {
  const made = element("tr"), what = element("div", "what"), cell = element("td");
  if (outcome === "created") what.append(element("p", "", "Is booked."));
  if (outcome === "updated") what.append(sentence("Changes ", changed.join(", "), "."));
  if (outcome === "unchanged" && !warnings.length) what.append(element("p", "quiet", "Is so already."));
  what.append(...errors.map((each) => problem("problem-line", each)), ...warnings.map((each) => problem("warning-line", each)));
  cell.append(what);
  made.append(element("td", "", String(row)), element("td", "", reference || "—"), cell);
  return made;
}

function problem(className, { column, message }) {
  const made = element("p", className);
  made.append(...(column ? [element("b", "", column), ` ${message}`] : [message]));
  return made;
}

function sentence(before, strong, after) {
  const made = element("p");
  made.append(before, element("b", "", strong), after);
  return made;
}
