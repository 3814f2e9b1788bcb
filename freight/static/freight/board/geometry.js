// Geometry of the map: Web Mercator on a world 1,000 units wide, great circles, estimated positions.

import { serverNow } from "../server_clock.js";

const RADIANS = Math.PI / 180;
export const WORLD = 1000;
const CLOSEST = 110; // units: the smallest window, for which the coastlines are detailed enough
const LEGEND = 0.05; // fraction of the window below which the legend lies
const TOP = 84; // degrees of latitude; Web Mercator grows without bound towards the pole

/** Longitude and latitude in degrees → units of the map, y downwards. */
export function project(longitude, latitude) {
  const phi = Math.max(-TOP, Math.min(TOP, latitude)) * RADIANS;
  return [(longitude + 180) / 360 * WORLD, WORLD / 2 - WORLD / (2 * Math.PI) * Math.log(Math.tan(Math.PI / 4 + phi / 2))];
}

/** The point at a fraction 0…1 of the great circle between two places {longitude, latitude} (spherical interpolation). */
export function between(from, to, fraction) {
  const [l1, p1, l2, p2] = [from.longitude, from.latitude, to.longitude, to.latitude].map((degrees) => degrees * RADIANS);
  const angle = Math.acos(Math.min(1, Math.sin(p1) * Math.sin(p2) + Math.cos(p1) * Math.cos(p2) * Math.cos(l2 - l1)));
  if (angle < 1e-6) return from;
  const [a, b] = [Math.sin((1 - fraction) * angle) / Math.sin(angle), Math.sin(fraction * angle) / Math.sin(angle)];
  const x = a * Math.cos(p1) * Math.cos(l1) + b * Math.cos(p2) * Math.cos(l2);
  const y = a * Math.cos(p1) * Math.sin(l1) + b * Math.cos(p2) * Math.sin(l2);
  const z = a * Math.sin(p1) + b * Math.sin(p2);
  return { longitude: Math.atan2(y, x) / RADIANS, latitude: Math.atan2(z, Math.hypot(x, y)) / RADIANS };
}

/** SVG path data of rings or lines of [longitude, latitude]; a line that crosses the date line is split. */
export function pathData(lines, close = "") {
  return lines.map((line) => {
    let last = null;
    return line.map(([longitude, latitude]) => {
      const [x, y] = project(longitude, latitude);
      const move = last === null || Math.abs(x - last) > WORLD / 2;
      last = x;
      return `${move ? "M" : "L"}${x.toFixed(2)} ${y.toFixed(2)}`;
    }).join("") + close;
  }).join("");
}

export function laneData(from, to, steps = 24) {
  const points = Array.from({ length: steps + 1 }, (_, index) => between(from, to, index / steps));
  return pathData([points.map(({ longitude, latitude }) => [longitude, latitude])]);
}

const isPlace = (place) => Number.isFinite(place?.latitude) && Number.isFinite(place?.longitude);
export const hasLane = (shipment) => isPlace(shipment.origin) && isPlace(shipment.destination);

/** The reported or estimated position {longitude, latitude, estimated}, null where neither is known. */
export function estimatedPosition(shipment, now = serverNow()) {
  if (isPlace(shipment.position)) return { ...shipment.position, estimated: false };
  if (!hasLane(shipment) || !shipment.eta) return null;
  const start = Date.parse(shipment.plannedPickupAt ?? shipment.createdAt);
  const fraction = (now - start) / (Date.parse(shipment.eta) - start);
  if (!Number.isFinite(fraction)) return null;
  return { ...between(shipment.origin, shipment.destination, Math.max(0.02, Math.min(0.98, fraction))), estimated: true };
}

/** The points without the outermost tenth on each side, where these outliers more than double the width; else all. */
export function mainCluster(points) {
  const box = (fraction) => [0, 1].map((axis) => {
    const sorted = points.map((point) => point[axis]).sort((a, b) => a - b);
    const cut = Math.floor(sorted.length * fraction);
    return [sorted[cut], sorted[sorted.length - 1 - cut]];
  });
  const [[left, right], [top, bottom]] = box(0.1);
  const [[west, east]] = box(0);
  if ((right - left) * 2 > east - west) return points;
  return [[left, top], [right, bottom]];
}

/** The box {x, y, width, height} around points, padded, with the aspect ratio of the window. */
export function frame(points, ratio, padding = 0.12) {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  let width = Math.max((right - left) * (1 + 2 * padding), CLOSEST);
  let height = Math.max((bottom - top) * (1 + 2 * padding), CLOSEST / ratio);
  if (width / height < ratio) width = height * ratio;
  else height = width / ratio;
  return { x: (left + right - width) / 2, y: (top + bottom - height) / 2 + height * LEGEND, width, height };
}
