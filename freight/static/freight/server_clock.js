// The server's clock: a PC's may be minutes off, and every time on a page is the server's.

let origin = Date.now() - performance.now(); // of the PC, until the server has told its time

/** Takes the server's time (RFC 3339), read between the two points of performance.now(). */
export function setServerTime(at, asked, answered) {
  const time = Date.parse(at);
  if (Number.isFinite(time)) origin = time - (asked + answered) / 2;
}

/** Milliseconds since 1970. Measured from when the server told its time: nobody who sets the PC's clock moves it. */
export const serverNow = () => origin + performance.now();
