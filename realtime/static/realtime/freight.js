// The browser client of Freight's socket protocol (`freight.v1`, docs/protocol.md): no dependency, one ES module.
//
//   const client = new FreightClient({ url: "/ws/" });            // session cookie of the same origin
//   const client = new FreightClient({ url, token: () => jwt });  // or an access token, or `ticket: async () => …`
//   client.addEventListener("state", (e) => e.detail);            // {state, retryAt?, code?}
//   client.join("SHIP-000001", { snapshot(s, frame), update(event, snapshot, frame), left(reason) }); // frame.reason
//   client.join("shipments:all", { update(event, _, frame) });    // or driver:…, export:…, import:… with { value(frame) }
//   client.connect();
//
// States: connecting, replaying, live, offline (tries again at `retryAt`), closed (for good; `code` says why).

import { backoff, batches, decide, fold, numberOf, roomOf } from "./log.js";

export { backoff, batches, decide, fold };

const FINAL_CODES = new Set([4400, 4401, 4403, 4408]), FULL_MS = 60_000, LATEST = new Set(["driver:location:update", "export:progress", "import:progress"]);

const nameOf = (room) => (room.includes(":") ? room : `shipment:${room}`);
const keyOf = (room) => nameOf(room).toLowerCase();

export class FreightClient extends EventTarget {
  #options; #socket = null; #rooms = new Map(); #waiting = new Set(); #scheduled = false;
  #attempt = 0; #retryTimer = null; #watchdog = null; #lastFrameAt = 0; #silence = 60_000; #retryMs = null; #welcomed = false;

  constructor({ url = "/ws/", token = null, ticket = null } = {}) {
    super();
    this.#options = { url, token, ticket };
    this.state = "closed";
  }

  connect() {
    this.#network("addEventListener");
    return this.#open();
  }

  close() { this.#stop({ state: "closed", code: 1000 }); }
  /** Joins a reference or room; `known` is the state that the caller already has: {epoch, seq, snapshot}. */
  join(room, handlers, known = {}) {
    const { epoch = null, seq = null, snapshot = {} } = known;
    this.#rooms.set(keyOf(room), { name: nameOf(room), handlers, epoch, seq, snapshot, pending: false });
    this.#ask(keyOf(room));
  }

  leave(room) {
    this.#waiting.delete(keyOf(room));
    if (!this.#rooms.delete(keyOf(room))) return;
    this.#send({ type: "leave:room", room: nameOf(room) });
    if (this.state === "replaying") this.#settle();
  }

  get rooms() { return [...this.#rooms.values()].map((room) => room.name); }

  #network(act) { for (const [name, handler] of [["online", this.#online], ["offline", this.#offline]]) globalThis[act]?.(name, handler); }
  #online = () => { if (this.state === "offline") { this.#attempt = 0; this.#open(); } };
  #offline = () => { if (this.#socket) this.#lost(1006); };

  async #open() {
    clearTimeout(this.#retryTimer);
    if (this.#socket || this.state === "connecting") return;
    this.#setState({ state: "connecting" });
    const { url, token, ticket } = this.#options, protocols = ["freight.v1"];
    try { if (ticket) protocols.push(`ticket.${await ticket()}`); } catch { return this.#lost(1006); }
    if (this.state !== "connecting") return; // closed meanwhile
    const socket = new WebSocket(new URL(url, globalThis.location?.href).href.replace(/^http/, "ws"), protocols);
    this.#socket = socket;
    this.#lastFrameAt = Date.now();
    socket.onopen = async () => { if (token) this.#send({ type: "auth", token: await this.#token() }); };
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.#socket && this.#lost(code);
    clearInterval(this.#watchdog);
    this.#watchdog = setInterval(() => Date.now() - this.#lastFrameAt > this.#silence && this.#lost(1006), 1000);
  }

  #token() { const { token } = this.#options; return typeof token === "function" ? token() : token; }
  #send(frame) { if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(frame)); }

  #setState(detail) {
    this.state = detail.state;
    this.dispatchEvent(new CustomEvent("state", { detail }));
  }

  #stop(detail) {
    const socket = this.#socket;
    this.#socket = null; this.#welcomed = false;
    clearInterval(this.#watchdog); clearTimeout(this.#retryTimer);
    for (const room of this.#rooms.values()) room.pending = false;
    if (detail.state === "closed") this.#network("removeEventListener");
    socket?.close();
    this.#setState(detail);
  }

  #lost(code) {
    const { token, ticket } = this.#options, expired = code === 4401 && this.#welcomed && (token || ticket);
    const again = expired || (code === 4408 && token); // expired while the page slept, or the token came too late
    if (FINAL_CODES.has(code) && !again) return this.#stop({ state: "closed", code });
    const delay = this.#retryMs ?? (code === 4429 ? FULL_MS : 0) + backoff(this.#attempt++);
    this.#retryMs = null;
    this.#stop({ state: "offline", retryAt: Date.now() + delay, code });
    this.#retryTimer = setTimeout(() => this.#open(), delay);
  }

  /** Joins a room from its last seq on; joins of one turn of the event loop leave in one message. */
  #ask(key) {
    this.#waiting.add(key);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => { this.#scheduled = false; this.#flush(); });
  }

  #flush() {
    if (this.state !== "live" && this.state !== "replaying") return; // `welcome` will flush
    const joins = [];
    for (const key of this.#waiting) {
      const room = this.#rooms.get(key);
      if (!room) continue;
      room.pending = true;
      joins.push({ room: room.name, ...(room.epoch && { epoch: room.epoch, since: room.seq }) });
    }
    this.#waiting.clear();
    for (const rooms of batches(joins)) this.#send({ type: "join:room", rooms });
    this.#settle();
  }

  #settle() {
    const pending = [...this.#rooms.values()].some((room) => room.pending), state = pending ? "replaying" : "live";
    if (!pending) this.#attempt = 0;
    if (this.state !== state) this.#setState({ state });
  }

  #receive(frame) {
    this.#lastFrameAt = Date.now();
    const name = roomOf(frame), key = name && keyOf(name), room = key && this.#rooms.get(key);
    if (frame.type === "welcome") this.#welcome(frame);
    else if (frame.type === "room:joined" && room) this.#joined(room, frame);
    else if (frame.type === "shipment:update" && room) this.#updated(key, room, frame);
    else if (LATEST.has(frame.type) && room) room.handlers.value?.(frame);
    else if (frame.type === "room:left" && room && frame.reason !== "left") this.#removeRoom(key, room, frame.reason);
    else if (frame.type === "error") this.#refused(key, room, frame);
    else if (frame.type === "heartbeat") this.#compare(frame.heads ?? {});
    else if (frame.type === "drain") this.#retryMs = frame.retryMs;
    else if (frame.type === "token:expiring" && this.#options.token) this.#refresh();
    this.dispatchEvent(new CustomEvent(frame.type, { detail: frame }));
  }

  #welcome({ heartbeat = 25 }) {
    this.#silence = (heartbeat * 2 + 5) * 1000; this.#welcomed = true;
    this.state = "replaying"; // #settle announces `live` once the joins are answered
    for (const key of this.#rooms.keys()) this.#waiting.add(key);
    this.dispatchEvent(new CustomEvent("state", { detail: { state: "replaying" } }));
    this.#flush();
  }

  #joined(room, frame) {
    room.pending = false;
    if (frame.recovered) {
      for (const event of frame.events) if (numberOf(event) === room.seq + 1) this.#apply(room, event, frame);
    } else {
      room.snapshot = frame.snapshot ?? {};
      room.handlers.snapshot?.(room.snapshot, frame);
    }
    room.epoch = frame.epoch ?? null;
    room.seq = frame.seq ?? room.seq;
    this.#settle();
  }

  #updated(key, room, frame) {
    const verdict = decide(room, frame);
    if (verdict === "apply") this.#apply(room, frame.event, frame);
    else if (verdict === "rejoin" && !room.pending) this.#ask(key);
  }

  #apply(room, event, frame) {
    room.seq = frame.type === "shipment:update" ? frame.seq : numberOf(event);
    if (room.name !== "shipments:all") room.snapshot = fold(room.snapshot, event);
    room.handlers.update?.(event, room.snapshot, frame);
  }

  #compare(heads) {
    for (const [name, head] of Object.entries(heads)) {
      const room = this.#rooms.get(keyOf(name));
      if (room && !room.pending && head > (room.seq ?? 0)) this.#ask(keyOf(name));
    }
  }

  #removeRoom(key, room, reason) {
    this.#rooms.delete(key); this.#waiting.delete(key);
    room.handlers.left?.(reason);
    this.#settle();
  }

  /** Retries a temporary refusal, of one room or of all pending ones; any other ends the room. */
  #refused(key, room, { code }) {
    if (code !== "rate_limited" && code !== "unavailable") return room && this.#removeRoom(key, room, code);
    const again = room ? [key] : [...this.#rooms].filter(([, each]) => each.pending).map(([each]) => each);
    setTimeout(() => again.forEach((each) => this.#rooms.has(each) && this.#ask(each)), 500 + backoff(2));
  }

  async #refresh() { this.#send({ type: "token:refresh", token: await this.#token() }); }
}
