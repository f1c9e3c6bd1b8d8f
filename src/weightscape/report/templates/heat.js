// Cosines of one tree's deltas at a time; blocks along the diagonal are its regions.
const heat = { at: 0, ready: false };
const NAMED = 48; // above this many models the rows carry the regions' names, not the models'

function unpack({ models: places, rows }) {
  const count = places.length;
  const grid = Array.from({ length: count }, () => new Array(count).fill(null));
  rows.forEach((row, i) => row.forEach((value, k) => {
    if (value !== null && k > 0) grid[i][i + k] = grid[i + k][i] = value / 1000;
  }));
  return grid; // the diagonal stays empty: it is 1 and would drown the rest
}

function heatRuns(places) {
  const runs = [];
  places.forEach((place, i) => {
    const region = models[place].region;
    const last = runs[runs.length - 1];
    if (last && last.region === region) last.to = i;
    else runs.push({ region, from: i, to: i });
  });
  return runs;
}

// White at nought, so that "nothing in common" is empty; its own hue for negative cosines.
function heatScale(grid) {
  let low = 0, high = 0.05;
  for (const row of grid) for (const value of row) if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
  const nought = -low / (high - low);
  const stops = [[nought, theme.panel], [1, theme.cool]];
  if (low < 0) stops.unshift([0, blend(theme.panel, theme.warm, Math.min(1, -low / high))]);
  return { low, high, stops: low < 0 ? stops : [[0, theme.panel], [1, theme.cool]] };
}
function blend(from, to, share) {
  const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const [a, b] = [parts(from), parts(to)];
  return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * share)).join(",")})`;
}

function heatShapes(runs, count) {
  const shapes = runs.filter((run) => run.region !== null).flatMap((run) => {
    const bar = { type: "rect", line: { width: 0 }, fillcolor: regionColour(run.region) };
    const from = run.from - 0.5, to = run.to + 0.5;
    return [
      { ...bar, xref: "paper", yref: "y", x0: 0, x1: 0, xsizemode: "pixel", xanchor: 0, y0: from, y1: to, ...{ x0: -6, x1: -2 } },
      { ...bar, xref: "x", yref: "paper", x0: from, x1: to, ysizemode: "pixel", yanchor: 1, y0: 2, y1: 6 },
    ];
  });
  const place = state.chosen ? heat.places.indexOf(state.chosen.place) : -1;
  if (place >= 0) {
    const line = { color: theme.ink, width: 1.2 };
    shapes.push(
      { type: "rect", xref: "x", yref: "y", x0: -0.5, x1: count - 0.5, y0: place - 0.5, y1: place + 0.5, line },
      { type: "rect", xref: "x", yref: "y", x0: place - 0.5, x1: place + 0.5, y0: -0.5, y1: count - 0.5, line });
  }
  return shapes;
}

function heatLabels(runs, places) {
  const small = innerWidth < 760;
  if (places.length <= NAMED) {
    return { tickvals: places.map((_, i) => i), ticktext: places.map((place) => plotText(clip(models[place].name, small ? 14 : 26))) };
  }
  const room = places.length / 26; // one name needs about this many rows
  const named = runs.filter((run) => run.region !== null && run.to - run.from + 1 >= room);
  return {
    tickvals: named.map((run) => (run.from + run.to) / 2),
    ticktext: named.map((run) => plotText(clip(regionTitle(run.region), small ? 14 : 26))),
  };
}

function drawHeat() {
  if (!atlas.heats.length) return $("heat-card").remove();
  const chosen = atlas.heats[heat.at];
  const places = heat.places = chosen.models;
  if (heat.grid === undefined || heat.of !== chosen) { heat.grid = unpack(chosen); heat.of = chosen; }
  const runs = heatRuns(places);
  const labels = heatLabels(runs, places);
  const scale = heatScale(heat.grid);
  const small = innerWidth < 760;
  $("heat").style.height = Math.min(small ? 370 : 470, 90 + places.length * 26) + "px";
  const longest = labels.ticktext.reduce((most, text) => Math.max(most, text.length), 0);
  const axis = { showgrid: false, zeroline: false, ticks: "", fixedrange: true, range: [-0.5, places.length - 0.5], constrain: "domain" };
  const count = places.length;
  const tick = count > NAMED ? 11 : Math.max(8.5, Math.min(11.5, ($("heat").clientHeight - 40) / count));
  const margin = { l: Math.min(small ? 112 : 190, longest * tick * 0.58 + 18), r: small ? 46 : 66, t: 18, b: 16 };
  const gap = count <= NAMED ? 1 : 0;
  Plotly.react($("heat"), [{
    type: "heatmap", z: heat.grid, zmin: scale.low, zmax: scale.high, colorscale: scale.stops, hoverinfo: "none",
    xgap: gap, ygap: gap, hoverongaps: true,
    colorbar: { thickness: 9, len: 1, outlinewidth: 0, ticks: "", nticks: 6, x: 1.01, xpad: 6, tickfont: { size: 11, color: theme["ink-3"] } },
  }], {
    margin, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: theme["line-soft"], font: { family: theme.sans, color: theme["ink-2"] },
    xaxis: { ...axis, showticklabels: false },
    yaxis: { ...axis, range: [count - 0.5, -0.5], ...labels, tickmode: "array", ticklabelstandoff: 8, tickfont: { size: tick } },
    shapes: heatShapes(runs, count), dragmode: false, hovermode: "closest",
  }, QUIET);
  if (heat.ready) return undefined;
  heat.ready = true;
  $("heat").on("plotly_hover", ({ points: [point], event }) => {
    const row = models[heat.places[point.y]], column = models[heat.places[point.x]];
    if (!row || !column) return;
    const value = heat.grid[point.y][point.x];
    tip.show(event.clientX, event.clientY, el("b", { class: "name" }, clip(row.name, 72)),
      row === column ? el("div", {}, "with itself") : el("div", { class: "name" }, clip(column.name, 72)),
      value !== null && el("div", {}, "cosine " + fixed(value, 3)));
  });
  $("heat").on("plotly_unhover", tip.hide);
  $("heat").on("plotly_click", ({ points: [point] }) => choose(models[heat.places[point.y]]));
  return undefined;
}

function outlineHeat() {
  if (!heat.ready) return;
  const home = atlas.heats.findIndex((one) => state.chosen && one.models.includes(state.chosen.place));
  if (home >= 0 && home !== heat.at) {
    heat.at = home;
    const select = $("heat-which");
    if (select) select.value = String(home);
    drawHeat();
    return;
  }
  Plotly.relayout($("heat"), { shapes: heatShapes(heatRuns(heat.places), heat.places.length) });
}

function heatTools() {
  if (atlas.heats.length < 2) return;
  $("heat-tools").append(el("select", { id: "heat-which", "aria-label": "Tree", onchange: (event) => {
    heat.at = Number(event.target.value);
    drawHeat();
  } }, atlas.heats.map((one, i) => el("option", { value: i }, `${clip(one.label, 30)} (${one.models.length})`))));
}
