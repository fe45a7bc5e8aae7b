// One curve as SVG.
import { h } from "./dom.js";

const SPACE = "http://www.w3.org/2000/svg";
const [W, H, LEFT, FOOT] = [320, 150, 52, 20];

function s(tag, attributes, text) {
  const element = document.createElementNS(SPACE, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
const short = (value) => (Math.abs(value) >= 1e4 || (value && Math.abs(value) < 1e-3) ? value.toExponential(1) : String(Number(value.toPrecision(3))));

export function plot(name, points) {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [x0, x1] = [xs[0], xs.at(-1)];
  let [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  if (y0 === y1) [y0, y1] = [y0 - 0.5, y1 + 0.5];
  const px = (x) => LEFT + ((W - LEFT - 6) * (x - x0)) / (x1 - x0 || 1);
  const py = (y) => 8 + ((H - FOOT - 8) * (y1 - y)) / (y1 - y0);
  const last = ys.at(-1);
  const svg = s("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "img", "aria-label": `${name}: ${short(ys[0])} at first, ${short(last)} at last` });
  for (const y of [y0, (y0 + y1) / 2, y1]) {
    svg.append(s("line", { x1: LEFT, x2: W - 6, y1: py(y), y2: py(y) }), s("text", { x: LEFT - 5, y: py(y) + 4, "text-anchor": "end" }, short(y)));
  }
  svg.append(s("text", { x: LEFT, y: H - 4 }, short(x0)), s("text", { x: W - 6, y: H - 4, "text-anchor": "end" }, `step ${short(x1)}`));
  svg.append(s("path", { d: points.map(([x, y], i) => `${i ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("") }));
  return h("figure", {}, h("figcaption", {}, h("b", {}, name), h("span", {}, short(last))), svg);
}
