// The plane through three models: contours whose steps grow with the height above the lowest point.
const STEPS = 9;

function planeLevels(losses) {
  const known = losses.flat().filter((value) => value !== null);
  const low = Math.min(...known), rise = Math.max(...known) - low;
  const foot = rise / 50 || 1; // below this height all is one step
  return { low, foot, of: (value) => value === null ? null : Math.log2(1 + (value - low) / foot), top: Math.log2(1 + rise / foot),
    back: (step) => low + foot * (2 ** step - 1) };
}

function planeFigure(path) {
  const scale = planeLevels(path.losses);
  const size = (scale.top || 1) / STEPS;
  const ticks = Array.from({ length: STEPS + 1 }, (_, i) => i * size);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const far = dark ? "#05080b" : "#0a3157", near = dark ? "#a9d2f2" : "#f2f7fb";
  const traces = [{
    ...GONE, type: "contour", x: path.x, y: path.y, z: path.losses.map((line) => line.map(scale.of)), zmin: 0, zmax: scale.top || 1,
    colorscale: [[0, near], [0.5, dark ? "#35709c" : "#4e91c4"], [1, far]], contours: { start: size, end: (scale.top || 1) - size / 2, size },
    line: { width: 0.6, color: veil(theme.ink, 0.5) }, connectgaps: false,
    colorbar: { thickness: 10, outlinewidth: 0, x: 1.01, tickvals: ticks, ticktext: ticks.map((step) => short(Number(scale.back(step).toPrecision(3)))),
      tickfont: { size: 11, color: theme["ink-3"] }, title: { text: "loss", side: "top", font: { size: 11, color: theme["ink-3"] } } },
  }, {
    ...GONE, type: "scatter", mode: "lines+markers", x: [...path.positions, path.positions[0]].map((p) => p[0]), y: [...path.positions, path.positions[0]].map((p) => p[1]),
    line: { color: veil("#10151a", 0.75), width: 1, dash: "dot" }, marker: { size: 10, color: "#fdfdfc", line: { color: "#10151a", width: 1.8 } },
    meta: "models",
  }];
  const names = path.names.map((name, i) => ({ x: path.positions[i][0], y: path.positions[i][1], text: plotText(clip(name, innerWidth < 760 ? 14 : 28)),
    showarrow: false, yshift: i < 2 ? -19 : 19, bgcolor: veil(theme.panel, 0.82), borderpad: 2, font: { size: 12, color: theme.ink } }));
  const axis = { zeroline: false, showgrid: false, fixedrange: true, tickfont: { size: 11, color: theme["ink-3"] }, constrain: "domain" };
  const title = (text) => ({ text, font: { size: 11.5, color: theme["ink-3"] }, standoff: 6 });
  const wide = path.x[path.x.length - 1] - path.x[0], high = path.y[path.y.length - 1] - path.y[0];
  const room = Math.max(220, $("path-plot").clientWidth - 130);
  return {
    traces, height: Math.round(Math.max(260, Math.min(560, room * high / wide + 70))),
    layout: { margin: { l: 52, r: 70, t: 26, b: 44 }, annotations: names, plot_bgcolor: theme["line-soft"], shapes: [],
      xaxis: { ...axis, title: title("distance along the first two models (L2)"), range: [path.x[0], path.x[path.x.length - 1]] },
      yaxis: { ...axis, title: title("distance beside it (L2)"), scaleanchor: "x", range: [path.y[0], path.y[path.y.length - 1]] } },
  };
}

function planeTip(path, point) {
  if (point.data.meta === "models") {
    const i = point.pointIndex % path.names.length;
    return [el("b", { class: "name" }, clip(path.names[i], 72)), el("div", {}, "loss " + short(path.own[i]))];
  }
  const [row, column] = point.pointIndex;
  const loss = path.losses[row][column];
  return [el("b", {}, loss === null ? "no finite loss" : "loss " + short(loss)), el("div", {}, `at ${short(path.x[column])}, ${short(path.y[row])}`)];
}
