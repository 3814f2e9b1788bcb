// The pill that shows whether the page is live.

import { setIcon } from "./format.js";

const WORDS = { connecting: "Connecting", replaying: "Catching up", live: "Live" };
const SETTLE_MS = 250; // a shorter replay is not shown: it would flicker

export class Connection {
  #pill; #detail = { state: "connecting" }; #timer = null; #wasLive = false;

  constructor(pill) {
    this.#pill = pill;
    setInterval(() => this.#detail.state === "offline" && this.#paint(), 500);
  }

  show(detail) {
    const brief = detail.state === "replaying" && this.#pill.dataset.state === "live";
    this.#detail = detail;
    this.#wasLive ||= detail.state === "live";
    clearTimeout(this.#timer);
    if (brief) this.#timer = setTimeout(() => this.#paint(), SETTLE_MS);
    else this.#paint();
  }

  #paint() {
    const state = this.#detail.state === "connecting" && this.#wasLive ? "offline" : this.#detail.state;
    const text = this.#words();
    if (this.#pill.dataset.state !== state) setIcon(this.#pill.querySelector("svg"), state === "closed" ? "offline" : state);
    this.#pill.dataset.state = state;
    const label = this.#pill.querySelector(".connection-label");
    if (label.textContent !== text) label.textContent = text;
  }

  #words() {
    const { state, retryAt, code } = this.#detail;
    if (state === "closed") return code === 4403 ? "Access revoked" : "Logged out";
    if (state === "connecting" && this.#wasLive) return "Reconnecting…";
    if (state !== "offline") return WORDS[state];
    if (!navigator.onLine) return "Offline";
    const seconds = Math.ceil((retryAt - Date.now()) / 1000);
    return seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting…";
  }
}
