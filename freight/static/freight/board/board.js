// The live board: rendered by the server, kept up to date by the room of every shipment in view.

import { FreightClient } from "../../realtime/freight.js";
import { Connection } from "../connection.js";
import { timeOfDay } from "../format.js";
import { setServerTime } from "../server_clock.js";
import { Filters } from "./filters.js";
import { WorldMap } from "./map.js";
import { Panel } from "./panel.js";
import { Table } from "./table.js";
import { Ticker } from "./ticker.js";

const POLL_MS = 15_000; // positions are not in the log: they are polled
const PATIENCE_MS = 10_000; // for one poll
const TICK_MS = 5_000;
const MAX_ROOMS = 199; // of the 200 of one WebSocket; one is reserved for the open panel

const byId = (id) => document.getElementById(id);
const first = JSON.parse(byId("board-document").textContent);
const known = new Map(); // reference → shipment as last known
const started = first.serverTime;
let knownEpoch = first.epoch;
let freshAt = Date.parse(first.serverTime); // of the newest answer to a poll
let mustReplace = false; // a filter was chosen, and its rows have not come yet

const client = new FreightClient({ url: "/ws/" });
const connection = new Connection(byId("connection"));
const panel = new Panel(byId("panel"), closed);
const table = new Table(byId("rows"), byId("row"), open);
const map = new WorldMap(byId("map"), open);
const ticker = new Ticker(byId("ticker"), byId("announcer"), open);
const filters = new Filters({ tiles: byId("tiles"), chips: byId("chips"), search: byId("q") }, () => refresh({ replace: true }));

/** Merges a shipment of the page or of a poll; the log wins where its seq is higher. */
function merge(shipment) {
  const current = known.get(shipment.reference);
  const newer = !current || shipment.seq > current.seq;
  const merged = newer ? { ...current, ...shipment } : { ...shipment, ...current, position: shipment.position ?? current.position };
  known.set(shipment.reference, merged);
  map.paint(merged);
  return merged;
}

function joinRooms(references, epoch) {
  const wanted = new Set(references.slice(0, MAX_ROOMS));
  if (panel.reference) wanted.add(panel.reference);
  const joined = new Set(client.rooms.map((room) => room.replace(/^shipment:/, "")));
  for (const reference of joined) if (!wanted.has(reference)) client.leave(reference);
  for (const reference of wanted) {
    if (joined.has(reference)) continue;
    const shipment = known.get(reference);
    client.join(reference, handlers(reference), { epoch, seq: shipment?.seq, snapshot: shipment });
  }
}

function handlers(reference) {
  return {
    snapshot: (snapshot, frame) => {
      if (adopt(frame.epoch)) refresh({ replace: true });
      update({ ...known.get(reference), ...snapshot }, null);
    },
    update: (event, snapshot) => update({ ...known.get(reference), ...snapshot }, event),
    left: (reason) => { if (["deleted", "forbidden", "not_found"].includes(reason)) forget(reference); },
  };
}

/** Shows a changed shipment in row, map, counters, ticker and panel. */
function update(shipment, event) {
  const before = known.get(shipment.reference);
  // Frames have no phone number; the panel keeps the one that it loaded.
  if (before?.driver && shipment.driver?.id === before.driver.id) shipment.driver = before.driver;
  if (before?.driver && shipment.driver?.id !== before.driver.id) shipment.position = null;
  known.set(shipment.reference, shipment);
  filters.moved(before?.status, shipment.status);
  table.paint(shipment, { flash: Boolean(event) });
  map.paint(shipment);
  panel.paint(shipment);
  if (!event) return;
  if (event.type === "deleted") forget(shipment.reference);
  map.pulse(shipment.reference);
  ticker.add(shipment, event);
  panel.add(shipment.reference, event, { fresh: true });
}

function forget(reference) {
  table.remove(reference);
  map.remove(reference);
  known.delete(reference);
}

/** Forgets everything where the database was restored: it may lack shipments, and its numbers may be lower. */
function adopt(epoch) {
  if (epoch === knownEpoch) return false;
  knownEpoch = epoch;
  [...known.keys()].forEach(forget);
  return true;
}

function open(reference) {
  const shipment = known.get(reference);
  if (!shipment) return;
  table.choose(reference);
  map.choose(shipment);
  panel.open(shipment);
}

function closed(reference) {
  table.choose(null);
  map.choose(null);
  table.focus(reference);
}

/** Fetches rows, movers and counts; `replace` shows other rows, otherwise only new shipments are added. */
async function refresh({ replace = false } = {}) {
  mustReplace ||= replace;
  const query = filters.query;
  const asked = performance.now();
  const answer = await fetch(`/board.json?${query}`, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE_MS) }).catch(() => null);
  const answered = performance.now();
  if (answer?.status === 401) return location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  const state = answer?.ok ? await answer.json().catch(() => null) : null;
  if (query !== filters.query) return; // the answer to a newer filter is under way
  if (!state) return showStale(answer);
  setServerTime(state.serverTime, asked, answered);
  freshAt = Math.max(freshAt, Date.parse(state.serverTime));
  byId("stale").hidden = true;
  apply(state, mustReplace);
  mustReplace = false;
}

/** Tells since when the page is stale: rows in view still change by the socket, all else waits for a poll. */
function showStale(answer) {
  const what = mustReplace ? "The list does not show what you have chosen yet, and is" : "New shipments, positions and counts are";
  const why = answer ? `the server answers ${answer.status}` : "the server does not answer";
  byId("stale").textContent = `${what} as of ${timeOfDay(freshAt)}: ${why}. Trying again every ${POLL_MS / 1000} s.`;
  byId("stale").hidden = false;
}

function apply({ epoch, shipments, movers, counts }, replace) {
  replace = adopt(epoch) || replace;
  const rows = shipments.map(merge);
  const moving = movers.map(merge);
  if (replace) table.show(rows);
  else rows.filter((row) => !table.has(row.reference) && row.createdAt > started).reverse().forEach((row) => table.insert(row));
  filters.count(counts);
  byId("empty").hidden = table.references.length > 0;
  joinRooms([...table.references, ...moving.map((shipment) => shipment.reference)], epoch);
}

const [visit] = performance.getEntriesByType("navigation");
setServerTime(first.serverTime, visit.requestStart, visit.responseStart);
connection.show({ state: "connecting" });
client.addEventListener("state", ({ detail }) => connection.show(detail));
first.shipments.forEach(merge);
first.movers.forEach(merge);
first.shipments.forEach((shipment) => table.paint(shipment));
map.fit({ most: true });
if (byId("map").dataset.coast) map.coast(byId("map").dataset.coast);
apply(first, false);
client.connect();
setInterval(() => document.hidden || refresh(), POLL_MS);
setInterval(() => table.tick(), TICK_MS);
