// The imports page: a dry run of a file, a review of its rows, the import, and its progress by its room.

import { FreightClient } from "../../realtime/freight.js";
import { Connection } from "../connection.js";
import { element, label, relative } from "../format.js";
import { ImportReport } from "./report.js";

const PATH = "/api/imports/shipments";
const POLL_MS = 2_000; // while the connection is not live
const OPEN = new Set(["queued", "running"]);
const byId = (id) => document.getElementById(id);
const counted = new Intl.NumberFormat("en-GB");
const token = document.querySelector("[name=csrfmiddlewaretoken]").value;

const client = new FreightClient({ url: "/ws/" });
const connection = new Connection(byId("connection"));
const report = new ImportReport(byId("work"));
const known = new Map(JSON.parse(byId("known").textContent).map((each) => [each.id, each]));
let file = null; // chosen and not imported yet
let watched = null; // the shown import, while it runs

// -- the API ----------------------------------------------------------------------------------------------

async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { "X-CSRFToken": token } });
  } catch {
    throw { detail: "The server cannot be reached. Try again." };
  }
  const body = answer.status === 204 ? null : await answer.json().catch(() => ({}));
  if (answer.status === 401) location.assign(`/login?next=${location.pathname}`);
  if (!answer.ok) throw { detail: body?.detail ?? `The server answered ${answer.status}.`, errors: body?.errors ?? [] };
  return body;
}

function send(query) {
  const body = new FormData();
  body.append("file", file, file.name);
  return request(`${PATH}?${new URLSearchParams(query)}`, { method: "POST", body });
}

// -- dry run and import ------------------------------------------------------------------------------------

async function choose(chosen) {
  if (!chosen || byId("drop").classList.contains("busy")) return;
  stopWatching();
  file = chosen;
  busy(true);
  report.begin(file.name, `${size(file.size)} · reading every row…`);
  try {
    const trial = await send({ dryRun: "true", limit: 0 });
    const rows = trial.total - trial.counts.failed;
    report.show(trial, (query) => send({ dryRun: "true", ...query }));
    report.note(`${size(file.size)} · ${counted.format(trial.total)} ${trial.total === 1 ? "row" : "rows"} · nothing is changed yet`);
    report.offer({ apply: rows > 0 ? `Import ${counted.format(rows)} ${rows === 1 ? "row" : "rows"}` : "", other: true });
    announce(`${file.name}: ${report.words()}.`);
  } catch (problem) {
    report.note(size(file.size));
    report.refuse(problem);
    report.offer({ other: true });
  }
  busy(false);
}

async function apply() {
  report.offer({});
  busy(true);
  try {
    const made = await send({});
    file = null;
    watch(made);
  } catch (problem) {
    report.refuse(problem);
    report.offer({ apply: "Try again", other: true });
  }
  busy(false);
}

function busy(is) {
  byId("drop").classList.toggle("busy", is);
  byId("file").disabled = is;
}

// -- watching ---------------------------------------------------------------------------------------------

function watch(made) {
  stopWatching();
  keep(made);
  report.begin(made.filename || "A file without a name", `${size(made.size)} · ${counted.format(made.progress.total)} rows`);
  if (!OPEN.has(made.state)) return finish(made);
  watched = { id: made.id, timer: setInterval(() => client.state !== "live" && refresh(), POLL_MS) };
  report.progress(made.state, made.progress);
  report.offer({ cancel: true });
  client.join(`import:${made.id}`, { snapshot: onFrame, value: onFrame });
}

function onFrame(frame) {
  if (!watched || frame?.importId !== watched.id) return;
  report.progress(frame.state, frame);
  keep({ ...known.get(watched.id), state: frame.state });
  if (!OPEN.has(frame.state)) refresh();
}

async function refresh() {
  const { id } = watched ?? {};
  const current = id && (await request(`/api/imports/${id}?limit=0`).catch(() => null));
  if (!current || watched?.id !== id) return;
  keep(current);
  if (OPEN.has(current.state)) report.progress(current.state, current.progress);
  else finish(current);
}

function finish(done) {
  stopWatching();
  keep(done);
  report.ended(done.state, done.error);
  report.show(done, (query) => request(`/api/imports/${done.id}?${new URLSearchParams(query)}`));
  report.offer({ other: true, board: done.counts.created + done.counts.updated > 0 });
  announce(`Import ${done.state}: ${report.words()}.`);
}

function stopWatching() {
  if (!watched) return;
  clearInterval(watched.timer);
  client.leave(`import:${watched.id}`);
  watched = null;
}

async function cancel() {
  if (!watched) return;
  report.offer({});
  await request(`/api/imports/${watched.id}`, { method: "DELETE" }).catch(report.refuse);
  await refresh();
}

// -- past imports ----------------------------------------------------------------------------------------

function keep(one) {
  known.set(one.id, one);
  paintPast();
}

function paintPast() {
  const newest = [...known.values()].sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
  byId("past").hidden = newest.length === 0;
  byId("past-empty").hidden = newest.length > 0;
  byId("past").tBodies[0].replaceChildren(...newest.map(line));
}

function line(one) {
  const row = element("tr"), name = element("th"), open = element("button", "link", one.filename || "A file without a name");
  name.scope = "row";
  open.type = "button";
  open.addEventListener("click", async () => { watch(await request(`/api/imports/${one.id}?limit=0`)); report.focus(); });
  name.append(open);
  const sent = element("td"), time = element("time", "", relative(one.createdAt));
  time.dateTime = one.createdAt;
  sent.append(time);
  const state = element("td"), pill = element("span", "state", label(one.state));
  pill.dataset.state = one.state;
  state.append(pill);
  const numbers = ["created", "updated", "unchanged", "failed"].map((name) => element("td", "number", counted.format(one.counts[name])));
  row.append(name, sent, state, ...numbers);
  return row;
}

// -- the page ---------------------------------------------------------------------------------------------

function size(bytes) {
  return bytes < 1024 ** 2 ? `${counted.format(Math.ceil(bytes / 1024))} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}

function announce(text) { byId("announcer").textContent = text; }

function dropping() {
  const drop = byId("drop");
  let depth = 0; // nested elements under the dragged file
  const over = (change) => { depth = Math.max(0, depth + change); drop.classList.toggle("over", depth > 0); };
  document.addEventListener("dragenter", () => over(1));
  document.addEventListener("dragleave", () => over(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => { event.preventDefault(); over(-depth); choose(event.dataTransfer.files[0]); });
}

byId("file").addEventListener("change", ({ target }) => { const [chosen] = target.files; target.value = ""; choose(chosen); });
byId("apply").addEventListener("click", apply);
byId("cancel").addEventListener("click", cancel);
byId("other").addEventListener("click", () => byId("file").click());
client.addEventListener("state", ({ detail }) => connection.show(detail));
dropping();
paintPast();
client.connect();
const running = [...known.values()].find((one) => OPEN.has(one.state));
if (running) watch(running);
