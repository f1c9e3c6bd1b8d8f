// How a model looks everywhere: colour by region, shape by tree.
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const PALETTE = 10;
const theme = {};
function readTheme() {
  for (const name of ["paper", "panel", "raised", "line", "line-soft", "ink", "ink-2", "ink-3", "accent", "tint", "cool", "warm", "sans"]) {
    theme[name] = token("--" + name);
  }
  theme.regions = Array.from({ length: PALETTE }, (_, i) => token("--r" + i));
}

const regionTree = (place) => atlas.regions[place].members.length ? models[atlas.regions[place].members[0]].tree : "";
const regionsBySize = atlas.regions.map((region, place) => place)
  .sort((a, b) => atlas.regions[b].members.length - atlas.regions[a].members.length || a - b);
const regionVar = (region) => region === null ? "var(--ink-3)" : `var(--r${atlas.regions[region].hue % PALETTE})`;
const regionColour = (region) => region === null ? theme["ink-3"] : theme.regions[atlas.regions[region].hue % PALETTE];

const SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "hexagon", "star"];
const OUTLINES = {
  square: "M-4.2-4.2h8.4v8.4h-8.4z",
  diamond: "M0-5.8 5.8 0 0 5.8-5.8 0z",
  "triangle-up": "M0-5.6 5.4 4H-5.4z",
  "triangle-down": "M0 5.6 5.4-4H-5.4z",
  cross: "M-1.9-5.2h3.8v3.3h3.3v3.8h-3.3v3.3h-3.8v-3.3h-3.3v-3.8h3.3z",
  hexagon: "M-5 0-2.5-4.4h5L5 0 2.5 4.4h-5z",
  star: "M0-6 1.5-1.9 5.8-1.8 2.4.8 3.6 5 0 2.5-3.6 5-2.4.8-5.8-1.8-1.5-1.9z",
};
const shapeOf = (model) => SHAPES[treePlace.get(model.tree) % SHAPES.length];

// Filled: in a region. Hollow: in none (a root has no delta, an outlier belongs nowhere).
function mark(model, attributes) {
  const shape = shapeOf(model);
  const colour = regionVar(model.region);
  const style = `fill:${model.region === null ? "var(--panel)" : colour};stroke:${colour};stroke-width:1.5`;
  const drawn = shape === "circle"
    ? svg("circle", { r: 4.7, style, ...attributes })
    : svg("path", { d: OUTLINES[shape], style, ...attributes });
  if (model.gone) drawn.setAttribute("opacity", "0.45");
  return drawn;
}
const markIcon = (model) => svg("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" }, mark(model));
const shapeIcon = (tree) => {
  const shape = SHAPES[treePlace.get(tree) % SHAPES.length];
  const style = "fill:none;stroke:var(--ink-2);stroke-width:1.4";
  return svg("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" },
    shape === "circle" ? svg("circle", { r: 4.7, style }) : svg("path", { d: OUTLINES[shape], style }));
};
const regionIcon = (region) => svg("svg", { width: 10, height: 10, "aria-hidden": "true" },
  svg("rect", { width: 10, height: 10, rx: 2.5, style: `fill:${regionVar(region)}` }));
const plotText = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const clip = (text, room) => text.length <= room ? text
  : text.slice(0, Math.floor(room / 2)) + "…" + text.slice(text.length - (room - Math.floor(room / 2) - 1));
