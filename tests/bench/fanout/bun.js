// The peer of the fan-out bench: Bun's own WebSocket server (uWebSockets), told by Redis.
import { RedisClient } from "bun";

const [port, redis] = process.argv.slice(2);
const server = Bun.serve({
  port: Number(port),
  hostname: "127.0.0.1",
  fetch(request, server) {
    const room = new URL(request.url).searchParams.get("room");
    return server.upgrade(request, { data: { room } }) ? undefined : new Response("ready");
  },
  websocket: {
    idleTimeout: 0,
    message(socket, room) { socket.subscribe(String(room)); socket.send("joined"); },
  },
});
const subscriber = new RedisClient(redis.startsWith("unix:") ? `redis+unix://${new URL(redis).pathname}` : redis);
await subscriber.connect();
await subscriber.subscribe("bench", (message) => {
  const cut = message.indexOf(" ");
  server.publish(message.slice(0, cut), message.slice(cut + 1));
});
