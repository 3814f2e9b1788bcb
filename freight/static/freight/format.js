// Labels, times and numbers for people; and small DOM functions that never take markup.

import { serverNow } from "./server_clock.js";

const STEPS = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
const words = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const moment = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** "2 hr. ago", "in 3 days", from an RFC 3339 time. */
export function relative(at, now = serverNow()) {
  const seconds = (Date.parse(at) - now) / 1000;
  if (Math.abs(seconds) < 5) return "just now";
  const [unit, length] = STEPS.find(([, step]) => Math.abs(seconds) >= step) ?? STEPS.at(-1);
  return words.format(Math.trunc(seconds / length), unit);
}

export const absolute = (at) => moment.format(new Date(at)).replace(",", "");
export const timeOfDay = (at) => clock.format(new Date(at));

/** "Out for delivery" from `out_for_delivery`. */
export function label(status) {
  const text = status.replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
}

/** A short description of an event. */
export function eventWords(event) {
  const changes = Object.keys(event.data?.changes ?? {});
  if (changes.includes("status") && event.type !== "created") return label(event.status);
  if (event.type === "created") return "Created";
  if (event.type === "deleted") return "Deleted";
  if (changes.includes("flags")) return "Flags changed";
  if (changes.includes("eta")) return "New ETA";
  if (changes.includes("driver")) return "Driver changed";
  return label(event.type);
}

export const placeWords = (place) => (place ? [place.name, place.country].filter(Boolean).join(", ") : "");

/** An element with a class and text; text is always text. */
export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  setIcon(svg, name);
  return svg;
}

export const setIcon = (svg, name) => svg.querySelector("use").setAttribute("href", `#i-${name}`);

export function paintPill(pill, status) {
  pill.dataset.status = status;
  setIcon(pill.querySelector("svg"), status);
  pill.querySelector(".pill-label").textContent = label(status);
}

export function paintFlags(box, flags) {
  box.replaceChildren(...(flags ?? []).map(({ flag, reason }) => {
    const made = element("span", "flag");
    made.title = reason ?? "";
    made.append(icon("flag"), flag.replaceAll("_", " "));
    return made;
  }));
}
