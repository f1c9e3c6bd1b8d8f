// The map: every tree in its own square, regions as soft hulls, the chosen model ringed.
const placed = models.filter((model) => model.at);
const map = { ready: false, lines: placed.length <= 80 };
const QUIET = { displayModeBar: false, responsive: true, doubleClick: "reset", showTips: false };

function mapLimits() {
  const xs = [], ys = [];
  if (atlas.boxes.length === 1) { // a lone tree needs no square: show what there is, and room for names
    const edge = atlas.boxes[0][3] / 10;
    for (const { at: [x, y] } of placed) {
      xs.push(x - edge, x + edge);
      ys.push(y - edge, y + edge);
    }
  } else {
    squares(xs, ys);
  }
  const spread = (values) => [Math.min(...values), Math.max(...values)];
  return { x: spread(xs), y: spread(ys) };
}

function squares(xs, ys) {
  for (const [, left, bottom, side] of atlas.boxes) {
    xs.push(left, left + side);
    ys.push(bottom, bottom + side);
  }
}

// Convex hull (Andrew's monotone chain) of discs around the points: a hull with round corners.
function softHull(points, radius) {
  const ring = [];
  for (const [x, y] of points) {
    for (let i = 0; i < 16; i++) {
      ring.push([x + radius * Math.cos(i * Math.PI / 8), y + radius * Math.sin(i * Math.PI / 8)]);
    }
  }
  ring.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const turn = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
  const half = (some) => {
    const chain = [];
    for (const point of some) {
      while (chain.length > 1 && turn(chain[chain.length - 2], chain[chain.length - 1], point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(ring), ...half(ring.reverse())];
}

const markSize = Math.max(5, Math.min(11, 15 - Math.log2(placed.length + 1)));
const mapKin = placed.filter((m) => m.above && m.above.at && m.above.tree === m.tree).map((m) => [m.above, m]);
const mapOpacity = () => placed.map((m) => !state.matches.has(m) ? 0.13 : m.recent ? 1 : 0.55);

function mapTraces() {
  const still = { hoverinfo: "skip", showlegend: false, type: "scatter" };
  const traces = [];
  map.hulls = new Map();
  atlas.regions.forEach((region, place) => {
    const points = region.members.map((i) => models[i].at).filter(Boolean);
    if (!points.length) return;
    const hull = softHull(points, map.radius);
    map.hulls.set(place, hull);
    const closed = [...hull, hull[0]];
    traces.push({ ...still, mode: "lines", x: closed.map((p) => p[0]), y: closed.map((p) => p[1]), fill: "toself",
      fillcolor: veil(regionColour(place), 0.1), line: { color: veil(regionColour(place), 0.35), width: 1 } });
  });
  const ends = (pairs) => ({
    x: pairs.flatMap(([a, b]) => [a.at[0], b.at[0], null]), y: pairs.flatMap(([a, b]) => [a.at[1], b.at[1], null]),
  });
  traces.push({ ...still, mode: "lines", ...ends(map.lines ? mapKin : []), line: { color: veil(theme["ink-3"], 0.4), width: 0.8 } });
  traces.push({ type: "scatter", mode: "markers", showlegend: false, hoverinfo: "none",
    x: placed.map((m) => m.at[0]), y: placed.map((m) => m.at[1]),
    marker: {
      symbol: placed.map((m) => shapeOf(m) + (m.region === null ? "-open" : "")),
      color: placed.map((m) => regionColour(m.region)),
      size: placed.map((m) => m.children.length ? markSize * 1.25 : markSize),
      opacity: mapOpacity(),
      line: { width: placed.map((m) => m.region === null ? 1.8 : 0.8),
        color: placed.map((m) => m.region === null ? regionColour(null) : theme.panel) },
    } });
  map.trace = traces.length - 1;
  return traces;
}

// Squares of the trees, and the chosen model's ring and kin: shapes, because Plotly redraws those
// alone, while one more trace would make it lay out all the others again.
function mapShapes() {
  const shapes = atlas.boxes.length < 2 ? [] : atlas.boxes.map(([, left, bottom, side]) => ({
    type: "rect", x0: left, x1: left + side, y0: bottom, y1: bottom + side, layer: "below",
    line: { color: theme["line-soft"], width: 1 } }));
  const chosen = state.chosen && state.chosen.at ? state.chosen : null;
  if (!chosen) return shapes;
  for (const [a, b] of mapKin.filter((pair) => pair.includes(chosen)).slice(0, 300)) {
    shapes.push({ type: "line", x0: a.at[0], y0: a.at[1], x1: b.at[0], y1: b.at[1], layer: "below", line: { color: theme.ink, width: 1.2 } });
  }
  const reach = markSize / 2 + 5;
  shapes.push({ type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: chosen.at[0], yanchor: chosen.at[1],
    x0: -reach, x1: reach, y0: -reach, y1: reach, line: { color: theme.ink, width: 2 } });
  return shapes;
}

function ringMap() {
  if (map.ready) Plotly.relayout($("map"), { shapes: mapShapes() });
}

function dimMap() {
  if (map.ready) Plotly.restyle($("map"), { "marker.opacity": [mapOpacity()] }, [map.trace]);
}

const veil = (colour, share) => {
  const parts = /^#(..)(..)(..)$/.exec(colour);
  return parts ? `rgba(${parts.slice(1).map((part) => parseInt(part, 16)).join(",")},${share})` : colour;
};

// Names on the map: regions and roots, each where it covers no other name, else not at all.
function mapNames() {
  const box = $("map");
  const [x0, x1] = map.range.x, [y0, y1] = map.range.y;
  const scale = Math.min(box.clientWidth / (x1 - x0), box.clientHeight / (y1 - y0));
  const taken = placed.map((m) => disc(m.at[0] * scale, -m.at[1] * scale, 4));
  const names = [];
  const whole = { left: x0 * scale, right: x1 * scale, top: -y1 * scale, bottom: -y0 * scale };
  const put = (text, corners, colour, strong, area) => {
    const label = clip(text, 22), wide = label.length * (strong ? 6.6 : 6.2) + 6, high = 15;
    const xs = corners.map((p) => p[0] * scale), ys = corners.map((p) => -p[1] * scale);
    const [left, right] = [Math.min(...xs), Math.max(...xs)], [top, bottom] = [Math.min(...ys), Math.max(...ys)];
    const across = (left + right) / 2, down = (top + bottom) / 2;
    const spots = [[across, top - 9], [across, bottom + 9], [right + wide / 2 + 3, down], [left - wide / 2 - 3, down],
      [right, top - 6], [left, top - 6], [right, bottom + 6], [left, bottom + 6]];
    let best = null;
    for (const [cx, cy] of spots) {
      const at = { left: cx - wide / 2, right: cx + wide / 2, top: cy - high / 2, bottom: cy + high / 2 };
      if (at.left < area.left || at.right > area.right || at.top < area.top || at.bottom > area.bottom) continue;
      const cost = taken.filter((other) => crosses(at, other)).reduce((sum, other) => sum + other.cost, 0);
      if (!best || cost < best.cost) best = { at, cx, cy, cost };
    }
    if (!best || best.cost >= TOO_MUCH) return;
    taken.push({ ...best.at, cost: TOO_MUCH });
    names.push({ x: best.cx / scale, y: -best.cy / scale, text: plotText(label), showarrow: false,
      font: { size: strong ? 12 : 11.5, color: colour }, bgcolor: veil(theme.panel, 0.7), borderpad: 0, captureevents: false });
  };
  const boxed = atlas.boxes.length > 1;
  for (const [tree, left, bottom, side] of boxed ? atlas.boxes : []) {
    if (side * scale < 60) continue;
    const label = clip(tree, Math.max(4, Math.floor(side * scale / 6.6)));
    const at = { left: left * scale, right: left * scale + label.length * 6.4, top: -(bottom + side) * scale, bottom: -(bottom + side) * scale + 18, cost: TOO_MUCH };
    taken.push(at);
    names.push({ x: left, y: bottom + side, xanchor: "left", yanchor: "top", text: plotText(label), showarrow: false,
      font: { size: 11, color: theme["ink-3"] }, bgcolor: veil(theme.panel, 0.75), borderpad: 0, xshift: 4, yshift: -2 });
  }
  const squares = new Map(atlas.boxes.map(([tree, left, bottom, side]) => [tree,
    { left: left * scale, right: (left + side) * scale, top: -(bottom + side) * scale, bottom: -bottom * scale }]));
  for (const place of regionsBySize) {
    const hull = map.hulls.get(place), tree = regionTree(place);
    if (!hull) continue;
    // inside a square that bears the tree's name, the name need not stand again
    const title = regionTitle(place), short = title.startsWith(tree + "/") ? title.slice(tree.length + 1) : title;
    put(boxed ? short : title, hull, regionColour(place), true, boxed ? squares.get(tree) || whole : whole);
  }
  for (const root of boxed ? [] : roots) {
    if (!root.at || !root.children.length) continue;
    const [x, y] = root.at, reach = 7 / scale;
    put(root.name, [[x - reach, y - reach], [x + reach, y + reach]], theme["ink-2"], false, whole);
  }
  return names;
}
const TOO_MUCH = 6; // points that a name may cover, at most
const disc = (x, y, r) => ({ left: x - r, right: x + r, top: y - r, bottom: y + r, cost: 1 });
const crosses = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

function mapFrame() {
  const axis = { visible: false, fixedrange: matchMedia("(pointer: coarse)").matches };
  return {
    xaxis: { ...axis, range: map.range.x.slice(), constrain: "domain" },
    yaxis: { ...axis, range: map.range.y.slice(), scaleanchor: "x", constrain: "domain" },
    margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme.sans, color: theme.ink }, hovermode: "closest", hoverdistance: 14,
    dragmode: axis.fixedrange ? false : "pan", annotations: mapNames(),
    shapes: mapShapes(),
  };
}

function fitMap() {
  const box = $("map"), limits = mapLimits();
  const wide = limits.x[1] - limits.x[0], high = limits.y[1] - limits.y[0];
  const scale = Math.max(wide / box.clientWidth, high / box.clientHeight);
  const grow = ([low, top], room) => { const middle = (low + top) / 2; return [middle - room / 2, middle + room / 2]; };
  map.range = { x: grow(limits.x, scale * box.clientWidth), y: grow(limits.y, scale * box.clientHeight) };
  map.radius = scale * Math.max(9, Math.min(15, 24 - 1.5 * Math.log2(placed.length + 1)));
}

function drawMap() {
  if (!placed.length) return $("map").replaceChildren(el("p", { class: "nothing" }, "No model has a place on the map."));
  fitMap();
  const traces = mapTraces();
  Plotly.react($("map"), traces, mapFrame(), QUIET);
  if (map.ready) return undefined;
  map.ready = true;
  const pointed = (event) => event.points.map((point) => point.curveNumber === map.trace ? placed[point.pointNumber] : null)[0];
  $("map").on("plotly_hover", (event) => {
    const model = pointed(event);
    if (model) tip.show(event.event.clientX, event.event.clientY, ...tipLines(model));
  });
  $("map").on("plotly_unhover", tip.hide);
  $("map").on("plotly_click", (event) => { const model = pointed(event); if (model) choose(model); });
  return undefined;
}

function zoomMap(factor) {
  const layout = $("map").layout;
  const zoomed = ([low, top]) => [(low + top) / 2 - (top - low) * factor / 2, (low + top) / 2 + (top - low) * factor / 2];
  Plotly.relayout($("map"), factor === null
    ? { "xaxis.range": map.range.x.slice(), "yaxis.range": map.range.y.slice() }
    : { "xaxis.range": zoomed(layout.xaxis.range), "yaxis.range": zoomed(layout.yaxis.range) });
}

function mapTools() {
  if (!placed.length) return;
  const button = (text, label, act, more) =>
    el("button", { type: "button", class: "button " + (more || ""), "aria-label": label, title: label, onclick: act }, text);
  const lines = button("Descent", "Draw lines from parents to children", () => {
    map.lines = !map.lines;
    lines.setAttribute("aria-pressed", String(map.lines));
    drawMap();
  });
  lines.setAttribute("aria-pressed", String(map.lines));
  $("map-tools").append(lines, button("+", "Zoom in", () => zoomMap(1 / 1.5), "square"),
    button("−", "Zoom out", () => zoomMap(1.5), "square"), button("Fit", "Show the whole map", () => zoomMap(null)));
}

function mapLegend() {
  const items = regionsBySize.map((place) =>
    el("button", { type: "button", class: "item", "aria-pressed": String(state.wanted.region === regionTitle(place)),
      title: "Show only this region", onclick: () => want("region", regionTitle(place)) },
    regionIcon(place), nameOf(regionTitle(place)), el("span", { class: "many" }, atlas.regions[place].members.length)));
  if (models.some((m) => m.region === null)) {
    items.push(el("span", { class: "item" },
      svg("svg", { width: 10, height: 10, "aria-hidden": "true" },
        svg("circle", { cx: 5, cy: 5, r: 4, style: "fill:none;stroke:var(--ink-3);stroke-width:1.6" })), "in no region"));
  }
  if (treeNames.length > 1) {
    treeNames.slice(0, 40).forEach((tree) => items.push(el("button", { type: "button", class: "item",
      "aria-pressed": String(state.wanted.tree === tree), title: "Show only this tree", onclick: () => want("tree", tree) },
    shapeIcon(tree), nameOf(tree))));
  }
  $("map-legend").replaceChildren(...items);
}
