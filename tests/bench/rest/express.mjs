// Express over the same tables, by Prisma (`prisma`) or by pg alone (`pg`): no authentication, no limits, no metrics.
import express from "express";
import { createRequire } from "node:module";

const [, , port, kind, host, database, user, organization] = process.argv;
const app = express();
const connection = { host, database, user, max: 10 };
BigInt.prototype.toJSON = function () { return Number(this); };

const LIST = `SELECT s.id, s.reference, s.status, s.seq, s."references", s.pieces, s.weight_kg, s.volume_m3,
    s.planned_pickup_at, s.planned_delivery_at, s.eta, s.delivered_at, s.flags, s.notes, s.created_at, s.updated_at,
    json_build_object('id', d.id, 'name', d.name, 'phone', d.phone) AS driver,
    json_build_object('locode', o.locode, 'name', o.name, 'country', o.country) AS origin,
    json_build_object('locode', t.locode, 'name', t.name, 'country', t.country) AS destination
  FROM shipments_shipment s LEFT JOIN shipments_driver d ON d.id = s.driver_id
  JOIN shipments_location o ON o.id = s.origin_id JOIN shipments_location t ON t.id = s.destination_id
  WHERE s.organization_id = $1 AND s.deleted_at IS NULL`;

if (kind === "prisma") {
  const require = createRequire(import.meta.url);
  const { PrismaClient } = require("./generated/index.js");
  const { PrismaPg } = await import("@prisma/adapter-pg");
  const prisma = new PrismaClient({ adapter: new PrismaPg(connection) });
  const include = { driver: true, origin: true, destination: true };
  const where = { organization_id: organization, deleted_at: null };
  app.get("/shipments", async (request, response) => {
    const results = await prisma.shipment.findMany({ where, include, take: 50, orderBy: [{ created_at: "desc" }, { id: "desc" }] });
    response.json({ results });
  });
  app.get("/shipments/:reference", async (request, response) => {
    const found = await prisma.shipment.findFirst({ where: { ...where, reference: request.params.reference }, include });
    response.json(found);
  });
} else {
  const { default: pg } = await import("pg");
  const pool = new pg.Pool(connection);
  app.get("/shipments", async (request, response) => {
    const { rows } = await pool.query({ name: "list", text: `${LIST} ORDER BY s.created_at DESC, s.id DESC LIMIT 50`, values: [organization] });
    response.json({ results: rows });
  });
  app.get("/shipments/:reference", async (request, response) => {
    const text = `${LIST} AND upper(s.reference) = upper($2)`;
    const { rows } = await pool.query({ name: "one", text, values: [organization, request.params.reference] });
    response.json(rows[0]);
  });
}
app.get("/", (request, response) => response.json({}));
app.listen(Number(port), "127.0.0.1");
