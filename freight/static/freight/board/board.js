// The live board: what the server painted, kept true by the log of every shipment in view.

import { FreightClient } from "../../realtime/freight.js";
import { Connection } from "../connection.js";
import { Filters } from "./filters.js";
import { WorldMap } from "./map.js";
import { Panel } from "./panel.js";
import { Table } from "./table.js";
import { Ticker } from "./ticker.js";

const POLL_MS = 15_000; // positions are no log events; they are asked for
const TICK_MS = 5_000;
const MAX_ROOMS = 199; // of the 200 of one socket, one is kept for the open panel

const byId = (id) => document.getElementById(id);
const first = JSON.parse(byId("board-document").textContent);
const known = new Map(); // reference → shipment as last known
const started = new Date().toISOString();

const client = new FreightClient({ url: "/ws/" });
const connection = new Connection(byId("connection"));
const panel = new Panel(byId("panel"), closed);
const table = new Table(byId("rows"), byId("row"), open);
const map = new WorldMap(byId("map"), open);
const ticker = new Ticker(byId("ticker"), byId("announcer"), open);
const filters = new Filters({ tiles: byId("tiles"), chips: byId("chips"), search: byId("q") }, () => refresh({ replace: true }));

/** Takes what a page load or poll says; the log wins where it is ahead. */
function learn(shipment) {
  const mine = known.get(shipment.reference);
  const newer = !mine || shipment.seq > mine.seq;
  const merged = newer ? { ...mine, ...shipment } : { ...shipment, ...mine, position: shipment.position ?? mine.position };
  known.set(shipment.reference, merged);
  map.paint(merged);
  return merged;
}

function follow(references, epoch) {
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
    snapshot: (snapshot) => changed({ ...known.get(reference), ...snapshot }, null),
    update: (event, snapshot) => changed({ ...known.get(reference), ...snapshot }, event),
    left: (reason) => { if (reason === "deleted" || reason === "forbidden") forget(reference); },
  };
}

/** The log has moved a shipment: row, map, counters, ticker and panel follow. */
function changed(shipment, event) {
  const before = known.get(shipment.reference);
  // The panel's phone number is not part of the log.
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

/** Asks for rows, movers and counts; `replace` shows other rows, else only shipments made since then are added. */
async function refresh({ replace = false } = {}) {
  const asked = filters.query;
  const answer = await fetch(`/board.json?${asked}`, { headers: { Accept: "application/json" } }).catch(() => null);
  if (answer?.status === 401) return location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  if (!answer?.ok || asked !== filters.query) return;
  take(await answer.json(), replace);
}

function take({ epoch, shipments, movers, counts }, replace) {
  const rows = shipments.map(learn);
  const moving = movers.map(learn);
  if (replace) table.show(rows);
  else rows.filter((row) => !table.has(row.reference) && row.createdAt > started).reverse().forEach((row) => table.insert(row));
  filters.count(counts);
  byId("empty").hidden = table.references.length > 0;
  follow([...table.references, ...moving.map((shipment) => shipment.reference)], epoch);
}

connection.show({ state: "connecting" });
client.addEventListener("state", ({ detail }) => connection.show(detail));
first.shipments.forEach(learn);
first.movers.forEach(learn);
first.shipments.forEach((shipment) => table.paint(shipment));
map.fit({ most: true });
if (byId("map").dataset.coast) map.coast(byId("map").dataset.coast);
take(first, false);
client.connect();
setInterval(() => document.hidden || refresh(), POLL_MS);
setInterval(() => table.tick(), TICK_MS);
