// The map: coastlines, lanes, and a dot for every shipment in motion. It works without coastlines too.

import { label, placeWords, relative } from "../format.js";
import { estimatedPosition, frame, hasLane, laneData, mainCluster, pathData, project, WORLD } from "./geometry.js";

const IN_MOTION = new Set(["in_transit", "at_facility", "out_for_delivery", "at_delivery", "returning"]);
const WHOLE = [[60, 230], [940, 660]];
const ends = (shipment) => (hasLane(shipment) ? [shipment.origin, shipment.destination].map(({ longitude, latitude }) => project(longitude, latitude)) : []);
const svg = (name, className) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  if (className) made.setAttribute("class", className);
  return made;
};

export class WorldMap {
  #box; #canvas; #tip; #onOpen; #view = { x: 0, y: 250, width: WORLD, height: 400 };
  #layers = {}; #marks = new Map(); #chosen = null; #touched = false; #before;

  constructor(box, onOpen) {
    this.#box = box;
    this.#onOpen = onOpen;
    this.#canvas = box.querySelector(".map-canvas");
    this.#tip = box.querySelector(".map-tip");
    for (const name of ["land", "lanes", "ends", "dots"]) this.#canvas.append(this.#layers[name] = svg("g", `map-${name}-layer`));
    this.#layers.dots.addEventListener("click", (event) => this.#open(event));
    for (const kind of ["pointerover", "focusin"]) this.#layers.dots.addEventListener(kind, (event) => this.#showTip(event.target));
    for (const kind of ["pointerout", "focusout"]) this.#layers.dots.addEventListener(kind, () => { this.#tip.hidden = true; });
    box.querySelector(".map-tools").addEventListener("click", ({ target }) => this.#tool(target.dataset.zoom));
    this.#drag();
    new ResizeObserver(() => (this.#touched ? this.#look(this.#view) : this.fit({ most: true }))).observe(box);
  }

  /** Draws the coastlines: {land: rings, borders: lines, attribution}. */
  async coast(url) {
    const answer = await fetch(url).catch(() => null);
    if (!answer?.ok) return;
    const { land = [], borders = [], attribution = "" } = await answer.json();
    for (const [lines, name, close] of [[land, "map-land", "Z"], [borders, "map-borders", ""]]) {
      const path = svg("path", name);
      path.setAttribute("d", pathData(lines, close));
      this.#layers.land.append(path);
    }
    this.#box.querySelector(".map-credit").textContent = attribution;
  }

  /** Draws or moves one shipment, and removes one that is not in motion. */
  paint(shipment) {
    const at = IN_MOTION.has(shipment.status) ? estimatedPosition(shipment) : null;
    if (!at) return this.remove(shipment.reference);
    const mark = this.#marks.get(shipment.reference) ?? this.#make(shipment);
    mark.shipment = shipment;
    mark.at = project(at.longitude, at.latitude);
    mark.dot.dataset.status = shipment.status;
    mark.dot.classList.toggle("estimated", at.estimated);
    this.#place(mark);
  }

  remove(reference) {
    const mark = this.#marks.get(reference);
    if (!mark) return;
    mark.dot.remove();
    mark.lane?.remove();
    this.#marks.delete(reference);
  }

  pulse(reference) {
    const halo = this.#marks.get(reference)?.dot.querySelector(".halo");
    if (!halo || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    halo.animate([{ opacity: 0.9, r: "4px" }, { opacity: 0, r: "16px" }], { duration: 1400, easing: "ease-out" });
  }

  choose(shipment) {
    this.#chosen = shipment?.reference ?? null;
    this.#canvas.classList.toggle("has-choice", Boolean(shipment && hasLane(shipment)));
    this.#layers.ends.replaceChildren();
    for (const [reference, { dot, lane }] of this.#marks) {
      dot.classList.toggle("chosen", reference === this.#chosen);
      lane?.classList.toggle("chosen", reference === this.#chosen);
    }
    if (!shipment || !hasLane(shipment)) return this.#restoreView();
    if (!this.#marks.has(shipment.reference)) {
      const lane = svg("path", "map-lane chosen");
      lane.setAttribute("d", laneData(shipment.origin, shipment.destination));
      this.#layers.ends.append(lane);
    }
    for (const point of ends(shipment)) {
      const end = svg("circle", "map-end");
      end.dataset.at = point.join(" ");
      this.#layers.ends.append(end);
    }
    if (this.#before === undefined) this.#before = this.#touched ? this.#view : null; // null: not touched, fitted
    const close = frame(ends(shipment), this.#ratio, 0.5);
    this.#touched = true;
    this.#look(this.#contains(ends(shipment)) && close.width > this.#view.width / 4 ? this.#view : close);
  }

  /** Restores the view from before a shipment was chosen. */
  #restoreView() {
    if (this.#before) this.#look(this.#before);
    else if (this.#before === null) this.fit({ most: true });
    this.#before = undefined;
  }

  /** Shows every lane; `most` leaves out the few that lie far from the rest. */
  fit({ most = false } = {}) {
    const points = [...this.#marks.values()].flatMap(({ at, shipment }) => [at, ...ends(shipment)]);
    this.#touched = false;
    this.#look(frame(points.length ? (most ? mainCluster(points) : points) : WHOLE, this.#ratio));
  }

  #make(shipment) {
    const dot = svg("g", "map-dot");
    dot.dataset.reference = shipment.reference;
    dot.append(svg("circle", "halo"), svg("circle"));
    dot.firstChild.setAttribute("r", 9);
    dot.lastChild.setAttribute("r", 4.5);
    this.#layers.dots.append(dot);
    const mark = { dot, lane: null };
    if (hasLane(shipment)) {
      mark.lane = svg("path", "map-lane");
      mark.lane.setAttribute("d", laneData(shipment.origin, shipment.destination));
      this.#layers.lanes.append(mark.lane);
    }
    this.#marks.set(shipment.reference, mark);
    return mark;
  }

  #contains(points) {
    const { x, y, width, height } = this.#view;
    return points.every(([px, py]) => px > x && px < x + width && py > y && py < y + height);
  }

  #place({ dot, at: [x, y] }) { dot.style.transform = `translate(${x}px, ${y}px) scale(${this.#unit})`; }
  get #ratio() { return this.#canvas.clientWidth / this.#canvas.clientHeight || 2; }
  get #unit() { return this.#view.width / (this.#canvas.clientWidth || 800); }

  #look(view) {
    this.#view = { ...view, height: view.width / this.#ratio };
    this.#canvas.setAttribute("viewBox", `${this.#view.x} ${this.#view.y} ${this.#view.width} ${this.#view.height}`);
    for (const mark of this.#marks.values()) {
      mark.dot.classList.add("still");
      this.#place(mark);
    }
    for (const end of this.#layers.ends.querySelectorAll("circle")) {
      const [x, y] = end.dataset.at.split(" ");
      end.setAttribute("cx", x);
      end.setAttribute("cy", y);
      end.setAttribute("r", 5 * this.#unit);
    }
    requestAnimationFrame(() => this.#marks.forEach(({ dot }) => dot.classList.remove("still")));
  }

  #zoom(factor, [px, py] = [0.5, 0.5]) {
    const { x, y, width, height } = this.#view;
    const to = Math.max(8, Math.min(WORLD * 1.2, width * factor));
    this.#touched = true;
    this.#look({ x: x + (width - to) * px, y: y + (height - height * to / width) * py, width: to });
  }

  #tool(name) {
    if (name === "fit") this.fit();
    else if (name) this.#zoom(name === "in" ? 0.6 : 1 / 0.6);
  }

  #drag() {
    let from = null;
    this.#canvas.addEventListener("pointerdown", (event) => { from = { x: event.clientX, y: event.clientY, view: this.#view, moved: false }; });
    this.#canvas.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
      if (!from.moved && Math.hypot(dx, dy) < 4) return;
      if (!from.moved) this.#canvas.setPointerCapture(event.pointerId);
      from.moved = this.#touched = true;
      this.#canvas.classList.add("dragged");
      this.#look({ ...from.view, x: from.view.x - dx * this.#unit, y: from.view.y - dy * this.#unit });
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      this.#canvas.addEventListener(kind, () => { from = null; this.#canvas.classList.remove("dragged"); });
    }
    this.#canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
      event.preventDefault();
      const { left, top, width, height } = this.#canvas.getBoundingClientRect();
      this.#zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, [(event.clientX - left) / width, (event.clientY - top) / height]);
    }, { passive: false });
  }

  #open({ target }) {
    const reference = target.closest(".map-dot")?.dataset.reference;
    if (reference) this.#onOpen(reference);
  }

  #showTip(target) {
    const dot = target.closest(".map-dot");
    const shipment = dot && this.#marks.get(dot.dataset.reference)?.shipment;
    if (!shipment) return;
    const title = document.createElement("b");
    title.textContent = `${shipment.reference} · ${label(shipment.status)}`;
    const rest = document.createElement("span");
    rest.textContent = `${placeWords(shipment.origin)} → ${placeWords(shipment.destination)}${shipment.position ? ` · seen ${relative(shipment.position.recordedAt)}` : " · position estimated from the schedule"}`;
    this.#tip.replaceChildren(title, rest);
    this.#tip.hidden = false;
    const box = this.#box.getBoundingClientRect();
    const at = dot.getBoundingClientRect();
    const left = Math.max(8, Math.min(box.width - this.#tip.offsetWidth - 8, at.x - box.x + 14));
    const top = Math.max(8, Math.min(box.height - this.#tip.offsetHeight - 8, at.y - box.y + 14));
    this.#tip.style.transform = `translate(${left}px, ${top}px)`;
  }
}
