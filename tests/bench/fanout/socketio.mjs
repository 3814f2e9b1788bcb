// The peer of the fan-out bench: socket.io with the Redis adapter, as the replaced system ran it.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [port, redis] = process.argv.slice(2);
const publish = createClient(redis.startsWith("unix:") ? { socket: { path: new URL(redis).pathname } } : { url: redis });
const subscribe = publish.duplicate();
await Promise.all([publish.connect(), subscribe.connect()]);
const http = createServer((_, answer) => answer.end("ready"));
const io = new Server(http, { adapter: createAdapter(publish, subscribe), pingInterval: 600_000, pingTimeout: 600_000 });
io.on("connection", (socket) => socket.on("join", (room) => { socket.join(room); socket.emit("joined", room); }));
http.listen(Number(port), "127.0.0.1");
