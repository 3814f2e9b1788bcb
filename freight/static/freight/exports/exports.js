// The page of exports: orders by REST, progress by the room of each export, asked for again where the line is cut.

import { FreightClient } from "../../realtime/freight.js";
import { Connection } from "../connection.js";
import { absolute, label, relative, setIcon } from "../format.js";

const ASK_MS = 4_000; // while something is under way and the line is not live
const TICK_MS = 20_000;
const OPEN = new Set(["queued", "running"]);
const LOOKS = {
  queued: ["booked", "connecting", "Queued"], running: ["in_transit", "connecting", "Being written"],
  succeeded: ["delivered", "delivered", "Ready"], failed: ["lost", "lost", "Failed"],
  cancelled: ["cancelled", "cancelled", "Cancelled"], expired: ["draft", "offline", "Expired"],
};
const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const form = byId("order"), list = byId("orders"), problem = byId("problem");
const exports = new Map(); // id → {shown, row}
const client = new FreightClient({ url: "/ws/" });
const connection = new Connection(byId("connection"));

const csrf = () => form.elements.csrfmiddlewaretoken.value;
const title = ({ report, format }) => `${reportTitle(report)} · ${format.toUpperCase()}`;
const reportTitle = (name) => form.querySelector(`input[name=report][value="${name}"]`)?.nextElementSibling.textContent ?? label(name);

/** Asks the API; throws an Error whose message people can read. */
async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method, credentials: "same-origin",
      headers: { "X-CSRFToken": csrf(), ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new Error("The server cannot be reached. Nothing was ordered; try again.");
  }
  if (answer.status === 204) return null;
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  if (answer.status === 401) throw new Error("Your session has ended. Log in again.");
  const errors = (told.errors ?? []).map((error) => `${fieldLabel(error.field)}${error.message}`);
  throw Object.assign(new Error(errors.join(" ") || told.detail || told.title || `The server said ${answer.status}.`), { fields: (told.errors ?? []).map((error) => error.field) });
}

const inputOf = (field) => current()?.querySelector(`[data-filter="${CSS.escape(field.replace(/^filters\./, ""))}"]`);
const fieldLabel = (field) => {
  const words = inputOf(field ?? "")?.closest("label")?.querySelector("span").textContent;
  return words ? `${words}: ` : "";
};

// -- the form -------------------------------------------------------------------------------------------------

const current = () => form.querySelector(`.of-report[data-report="${form.elements.report.value}"]`);

function chosen() {
  const part = current(), filters = {};
  for (const input of part.querySelectorAll("[data-filter]")) {
    const value = input.value.trim();
    if (value && value !== input.dataset.default) filters[input.dataset.filter] = "time" in input.dataset ? `${value.length === 16 ? `${value}:00` : value}Z` : value;
  }
  const boxes = [...part.querySelectorAll("[data-column]")];
  const usual = boxes.every((box) => box.checked === ("default" in box.dataset));
  const fields = boxes.filter((box) => box.checked).map((box) => box.dataset.column);
  return { report: form.elements.report.value, format: form.elements.format.value, filters, ...(!usual && { fields }) };
}

function note() {
  const part = current(), count = Object.keys(chosen().filters).length, boxes = [...part.querySelectorAll("[data-column]")];
  const told = part.querySelector(".fold-note");
  told.textContent = count ? `${count} set` : told.dataset.none;
  part.querySelector(".columns-note").textContent = `${boxes.filter((box) => box.checked).length} of ${boxes.length}`;
}

function complain(error) {
  problem.textContent = error.message;
  problem.hidden = false;
  const wrong = (error.fields ?? []).map(inputOf).filter(Boolean);
  wrong.forEach((input) => input.setAttribute("aria-invalid", "true"));
  if (wrong.length) wrong[0].closest("details").open = true;
  (wrong[0] ?? problem).focus();
}

form.addEventListener("input", (event) => { event.target.removeAttribute("aria-invalid"); note(); });
form.addEventListener("change", () => {
  for (const part of form.querySelectorAll(".of-report")) part.hidden = part !== current();
  note();
});
form.addEventListener("click", ({ target }) => {
  const which = target.closest("[data-columns]")?.dataset.columns;
  if (!which) return;
  for (const box of current().querySelectorAll("[data-column]")) box.checked = which === "all" || "default" in box.dataset;
  note();
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  form.querySelectorAll("[aria-invalid]").forEach((input) => input.removeAttribute("aria-invalid"));
  const order = chosen(), button = form.querySelector("[type=submit]");
  if (order.fields?.length === 0) return complain(new Error("Choose at least one column."));
  button.disabled = true;
  try {
    take(await ask("POST", "/api/exports", order), { first: true });
    announce(`${title(order)} is queued.`);
  } catch (error) {
    complain(error);
  } finally {
    button.disabled = false;
  }
});

// -- the list -------------------------------------------------------------------------------------------------

function take(shown, { first = false } = {}) {
  const known = exports.get(shown.id);
  const row = known?.row ?? byId("row").content.firstElementChild.cloneNode(true);
  if (!known) {
    row.querySelector(".export-end").addEventListener("click", () => end(shown.id));
    first ? list.prepend(row) : list.append(row);
  }
  exports.set(shown.id, { shown, row });
  paint(shown.id);
  if (OPEN.has(shown.state)) follow(shown.id);
  byId("nothing").hidden = exports.size > 0;
}

function follow(id) {
  const room = `export:${id}`;
  if (client.rooms.includes(room)) return;
  client.join(room, {
    snapshot: (told) => told?.state && progressed(id, told),
    value: (frame) => progressed(id, frame),
  });
}

function progressed(id, { state, done, total }) {
  const known = exports.get(id);
  if (!known) return;
  const changed = known.shown.state !== state;
  known.shown = { ...known.shown, state, progress: { done, total } };
  paint(id);
  if (changed && !OPEN.has(state)) finished(id);
}

/** Asks for what a frame does not tell: the file, its size, until when it is kept. */
async function finished(id) {
  client.leave(`export:${id}`);
  const known = exports.get(id);
  try {
    take(await ask("GET", `/api/exports/${id}`));
  } catch { /* the next look at the list will tell */ }
  const { shown } = exports.get(id) ?? known;
  announce(`${title(shown)}: ${LOOKS[shown.state][2]}${shown.state === "succeeded" ? `, ${whole.format(shown.progress.done)} rows` : ""}.`);
}

function paint(id) {
  const { shown, row } = exports.get(id), [status, sign, words] = LOOKS[shown.state];
  const part = (name) => row.querySelector(`.${name}`);
  row.dataset.id = id;
  row.dataset.state = shown.state;
  part("export-name").textContent = title(shown);
  part("pill").dataset.status = status;
  setIcon(part("pill").querySelector("svg"), sign);
  part("pill-label").textContent = words;
  part("export-asked").textContent = asked(shown);
  paintProgress(row, shown);
  part("export-facts").textContent = facts(shown);
  part("export-error").hidden = !shown.error;
  part("export-error").textContent = shown.error ?? "";
  part("export-take").hidden = !shown.file;
  if (shown.file) part("export-take").href = shown.file;
  part("export-take").setAttribute("aria-label", `Download ${title(shown)}`);
  const act = OPEN.has(shown.state) ? "Cancel" : shown.state === "succeeded" ? "Remove" : "";
  part("export-end").hidden = !act;
  part("export-end").textContent = act;
  part("export-end").setAttribute("aria-label", `${act} ${title(shown)}`);
}

function paintProgress(row, { state, progress: { done, total } }) {
  const box = row.querySelector(".progress"), bar = box.querySelector("progress");
  box.hidden = !OPEN.has(state);
  bar.setAttribute("aria-label", `Rows of ${row.querySelector(".export-name").textContent}`);
  if (state === "running" && total !== null) { bar.max = Math.max(1, total); bar.value = total ? done : 1; } else bar.removeAttribute("value");
  box.querySelector(".progress-note").textContent = state === "queued" ? "waiting for a worker" : total === null ? "counting" : `${whole.format(done)} of ${whole.format(total)} rows`;
}

function asked({ filters, fields }) {
  const words = Object.entries(filters).map(([name, text]) => `${label(name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`))}: ${text}`);
  if (fields) words.push(`${fields.length} ${fields.length === 1 ? "column" : "columns"}`);
  return words.join(" · ") || "All rows, usual columns";
}

function facts({ state, createdAt, finishedAt, expiresAt, progress: { done }, size }) {
  const words = [`ordered ${relative(createdAt)}`];
  if (state === "succeeded") words.unshift(`${whole.format(done)} rows, ${bytes(size)}`);
  if (state === "succeeded" && expiresAt) words.push(`kept until ${absolute(expiresAt)} (${relative(expiresAt)})`);
  if (state === "expired") words.push("the file is removed; order it again");
  if (state === "cancelled" && finishedAt) words.push(`cancelled ${relative(finishedAt)}`);
  return words.join(" · ");
}

function bytes(size) {
  for (const unit of ["B", "kB", "MB"]) {
    if (size < 1000) return `${size < 10 && unit !== "B" ? size.toFixed(1) : Math.round(size)} ${unit}`;
    size /= 1000;
  }
  return `${size.toFixed(1)} GB`;
}

async function end(id) {
  const { row, shown } = exports.get(id);
  row.querySelector(".export-end").disabled = true;
  try {
    await ask("DELETE", `/api/exports/${id}`);
    await finished(id);
    row.focus();
  } catch (error) {
    complain(error);
  } finally {
    row.querySelector(".export-end").disabled = false;
  }
  return shown;
}

const announce = (text) => { byId("announcer").textContent = text; };

/** Looks at the whole list: after the line was cut, and while it is. */
async function look() {
  try {
    const { results } = await ask("GET", "/api/exports");
    results.forEach((shown) => take(shown));
  } catch { /* the pill says that the line is cut */ }
}

JSON.parse(byId("exports-document").textContent).exports.forEach((shown) => take(shown));
byId("nothing").hidden = exports.size > 0;
note();
connection.show({ state: "connecting" });
client.addEventListener("state", ({ detail }) => connection.show(detail));
client.connect();
setInterval(() => client.state !== "live" && [...exports.values()].some(({ shown }) => OPEN.has(shown.state)) && look(), ASK_MS);
setInterval(() => exports.forEach((_, id) => paint(id)), TICK_MS);
