// The pure functions of the browser client: how a log is followed, without a socket.

const MAX_BATCH = 200;
const MAX_BATCH_CHARACTERS = 12_000; // a message may have 16 KiB

/** The snapshot after an event: snapshot(n) folded over n+1…m equals snapshot(m). */
export function fold(snapshot, event) {
  return { ...snapshot, ...(event.data?.changes ?? {}), seq: event.seq, updatedAt: event.recordedAt };
}

/** An event's number in its room: the feed's position, else the shipment's own. */
export const numberOf = (event) => event.position ?? event.seq;

/** The room of a frame, null where it has none. */
export function roomOf({ room, shipmentId, driverId, exportId, importId }) {
  if (room) return room;
  if (driverId) return `driver:${driverId}`;
  if (exportId) return `export:${exportId}`;
  if (importId) return `import:${importId}`;
  return shipmentId ? `shipment:${shipmentId}` : null;
}

/** What to do with an update: "apply", "ignore" (seen already) or "rejoin" (something is missing). */
export function decide(known, { epoch, seq }) {
  if (known.epoch !== epoch || seq > known.seq + 1) return "rejoin";
  return seq === known.seq + 1 ? "apply" : "ignore";
}

/** Full jitter: a delay in ms below a bound that doubles from 0.5 s to 30 s. */
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(30_000, 500 * 2 ** Math.min(attempt, 10));
}

/** Splits joins into messages that the server's limits allow. */
export function batches(joins) {
  const messages = [[]];
  let size = 0;
  for (const join of joins) {
    const length = JSON.stringify(join).length + 1;
    if (messages.at(-1).length === MAX_BATCH || size + length > MAX_BATCH_CHARACTERS) {
      messages.push([]);
      size = 0;
    }
    messages.at(-1).push(join);
    size += length;
  }
  return messages.filter((batch) => batch.length);
}
