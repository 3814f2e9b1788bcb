// The peer of the export bench: the usual way of Node, rows from a cursor through csv-stringify into the answer.
import { createServer } from "node:http";
import { pipeline } from "node:stream";
import pg from "pg";
import QueryStream from "pg-query-stream";
import { stringify } from "csv-stringify";

const [port, host, database, user, query] = process.argv.slice(2);
const pool = new pg.Pool({ host, database, user, max: 4 });
createServer(async (request, answer) => {
  if (request.url !== "/rows.csv") return answer.end("ready");
  const client = await pool.connect();
  answer.setHeader("Content-Type", "text/csv; charset=utf-8");
  const rows = client.query(new QueryStream(query, [], { batchSize: 1000, highWaterMark: 1000 }));
  const cells = stringify({ header: true, cast: { date: (at) => at.toISOString() } });
  pipeline(rows, cells, answer, (error) => client.release(error));
}).listen(Number(port), "127.0.0.1");
