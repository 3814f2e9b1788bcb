// The exports page: orders by REST, progress by the room of each export, polled while the connection is lost.

import { FreightClient } from "../../realtime/freight.js";
import { Connection } from "../connection.js";
import { absolute, label, relative, setIcon } from "../format.js";

const POLL_MS = 4_000; // while an export runs and the connection is not live
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
const exports = new Map(); // id → {item: the export as the API returns it, row}
const client = new FreightClient({ url: "/ws/" });
const connection = new Connection(byId("connection"));

const csrf = () => form.elements.csrfmiddlewaretoken.value;
const title = ({ report, format }) => `${reportTitle(report)} · ${format.toUpperCase()}`;
const reportTitle = (name) => form.querySelector(`input[name=report][value="${name}"]`)?.nextElementSibling.textContent ?? label(name);

/** Calls the API; throws an Error whose message is for people. */
async function request(method, path, body) {
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
  const result = await answer.json().catch(() => ({}));
  if (answer.ok) return result;
  if (answer.status === 401) throw new Error("Your session has ended. Log in again.");
  const errors = (result.errors ?? []).map((error) => `${fieldLabel(error.field)}${error.message}`);
  throw Object.assign(new Error(errors.join(" ") || result.detail || result.title || `The server said ${answer.status}.`), { fields: (result.errors ?? []).map((error) => error.field) });
}

const inputOf = (field) => current()?.querySelector(`[data-filter="${CSS.escape(field.replace(/^filters\./, ""))}"]`);
const fieldLabel = (field) => {
  const words = inputOf(field ?? "")?.closest("label")?.querySelector("span").textContent;
  return words ? `${words}: ` : "";
};

// -- the form -------------------------------------------------------------------------------------------------

const current = () => form.querySelector(`.of-report[data-report="${form.elements.report.value}"]`);

function readForm() {
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

function updateNotes() {
  const part = current(), count = Object.keys(readForm().filters).length, boxes = [...part.querySelectorAll("[data-column]")];
  const filterNote = part.querySelector(".fold-note");
  filterNote.textContent = count ? `${count} set` : filterNote.dataset.none;
  part.querySelector(".columns-note").textContent = `${boxes.filter((box) => box.checked).length} of ${boxes.length}`;
}

function showError(error) {
  problem.textContent = error.message;
  problem.hidden = false;
  const wrong = (error.fields ?? []).map(inputOf).filter(Boolean);
  wrong.forEach((input) => input.setAttribute("aria-invalid", "true"));
  if (wrong.length) wrong[0].closest("details").open = true;
  (wrong[0] ?? problem).focus();
}

form.addEventListener("input", (event) => { event.target.removeAttribute("aria-invalid"); updateNotes(); });
form.addEventListener("change", () => {
  for (const part of form.querySelectorAll(".of-report")) part.hidden = part !== current();
  updateNotes();
});
form.addEventListener("click", ({ target }) => {
  const which = target.closest("[data-columns]")?.dataset.columns;
  if (!which) return;
  for (const box of current().querySelectorAll("[data-column]")) box.checked = which === "all" || "default" in box.dataset;
  updateNotes();
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  form.querySelectorAll("[aria-invalid]").forEach((input) => input.removeAttribute("aria-invalid"));
  const order = readForm(), button = form.querySelector("[type=submit]");
  if (order.fields?.length === 0) return showError(new Error("Choose at least one column."));
  button.disabled = true;
  try {
    upsert(await request("POST", "/api/exports", order), { first: true });
    announce(`${title(order)} is queued.`);
  } catch (error) {
    showError(error);
  } finally {
    button.disabled = false;
  }
});

// -- the list -------------------------------------------------------------------------------------------------

function upsert(item, { first = false } = {}) {
  const known = exports.get(item.id);
  const row = known?.row ?? byId("row").content.firstElementChild.cloneNode(true);
  if (!known) {
    row.querySelector(".export-end").addEventListener("click", () => cancelOrRemove(item.id));
    first ? list.prepend(row) : list.append(row);
  }
  exports.set(item.id, { item, row });
  paint(item.id);
  if (OPEN.has(item.state)) joinRoom(item.id);
  byId("nothing").hidden = exports.size > 0;
}

function joinRoom(id) {
  const room = `export:${id}`;
  if (client.rooms.includes(room)) return;
  client.join(room, {
    snapshot: (progress) => progress?.state && updateProgress(id, progress),
    value: (frame) => updateProgress(id, frame),
  });
}

function updateProgress(id, { state, done, total }) {
  const known = exports.get(id);
  if (!known) return;
  const changed = known.item.state !== state;
  known.item = { ...known.item, state, progress: { done, total } };
  paint(id);
  if (changed && !OPEN.has(state)) loadFinished(id);
}

/** Fetches what a frame does not contain: the file, its size, its expiry. */
async function loadFinished(id) {
  client.leave(`export:${id}`);
  const known = exports.get(id);
  try {
    upsert(await request("GET", `/api/exports/${id}`));
  } catch { /* the next refresh shows it */ }
  const { item } = exports.get(id) ?? known;
  announce(`${title(item)}: ${LOOKS[item.state][2]}${item.state === "succeeded" ? `, ${whole.format(item.progress.done)} rows` : ""}.`);
}

function paint(id) {
  const { item, row } = exports.get(id), [status, sign, words] = LOOKS[item.state];
  const part = (name) => row.querySelector(`.${name}`);
  row.dataset.id = id;
  row.dataset.state = item.state;
  part("export-name").textContent = title(item);
  part("pill").dataset.status = status;
  setIcon(part("pill").querySelector("svg"), sign);
  part("pill-label").textContent = words;
  part("export-asked").textContent = describeFilters(item);
  paintProgress(row, item);
  part("export-facts").textContent = facts(item);
  part("export-error").hidden = !item.error;
  part("export-error").textContent = item.error ?? "";
  part("export-take").hidden = !item.file;
  if (item.file) part("export-take").href = item.file;
  part("export-take").setAttribute("aria-label", `Download ${title(item)}`);
  const act = OPEN.has(item.state) ? "Cancel" : item.state === "succeeded" ? "Remove" : "";
  part("export-end").hidden = !act;
  part("export-end").textContent = act;
  part("export-end").setAttribute("aria-label", `${act} ${title(item)}`);
}

function paintProgress(row, { state, progress: { done, total } }) {
  const box = row.querySelector(".progress"), bar = box.querySelector("progress");
  box.hidden = !OPEN.has(state);
  bar.setAttribute("aria-label", `Rows of ${row.querySelector(".export-name").textContent}`);
  if (state === "running" && total !== null) { bar.max = Math.max(1, total); bar.value = total ? done : 1; } else bar.removeAttribute("value");
  box.querySelector(".progress-note").textContent = state === "queued" ? "waiting for a worker" : total === null ? "counting" : `${whole.format(done)} of ${whole.format(total)} rows`;
}

function describeFilters({ filters, fields }) {
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

async function cancelOrRemove(id) {
  const { row, item } = exports.get(id);
  row.querySelector(".export-end").disabled = true;
  try {
    await request("DELETE", `/api/exports/${id}`);
    await loadFinished(id);
    row.focus();
  } catch (error) {
    showError(error);
  } finally {
    row.querySelector(".export-end").disabled = false;
  }
  return item;
}

const announce = (text) => { byId("announcer").textContent = text; };

/** Fetches the whole list, while the connection is not live. */
async function refresh() {
  try {
    const { results } = await request("GET", "/api/exports");
    results.forEach((item) => upsert(item));
  } catch { /* the connection pill shows it */ }
}

JSON.parse(byId("exports-document").textContent).exports.forEach((item) => upsert(item));
byId("nothing").hidden = exports.size > 0;
updateNotes();
connection.show({ state: "connecting" });
client.addEventListener("state", ({ detail }) => connection.show(detail));
client.connect();
setInterval(() => client.state !== "live" && [...exports.values()].some(({ item }) => OPEN.has(item.state)) && refresh(), POLL_MS);
setInterval(() => exports.forEach((_, id) => paint(id)), TICK_MS);
