// One path drawn: loss with band and chord, the metric, and what is known where, above one t axis.
const GONE = { hoverinfo: "none", showlegend: false };

function curveFigure(path) {
  const tables = path.series.filter((one) => one.known.length);
  const metric = path.series.find((one) => one.metric);
  const heights = [230, metric ? 110 : 0, ...tables.map(() => 150)].filter(Boolean);
  const gap = 46, top = 34, bottom = 44;
  const whole = heights.reduce((sum, one) => sum + one, 0) + gap * (heights.length - 1);
  let used = 0;
  const domains = heights.map((one) => { const from = 1 - (used + one) / whole; used += one + gap; return [Math.max(0, from), Math.min(1, from + one / whole)]; });
  const axes = {}, traces = [], notes = [];
  const quiet = { fixedrange: true, zeroline: false, gridcolor: theme["line-soft"], tickfont: { size: 11, color: theme["ink-3"] }, automargin: false };
  domains.forEach((domain, i) => {
    const n = i ? String(i + 1) : "";
    axes["yaxis" + n] = { ...quiet, domain, anchor: "x" + n, nticks: heights[i] > 200 ? 6 : 4 };
    axes["xaxis" + n] = { ...quiet, anchor: "y" + n, range: [-0.012, 1.012], tickvals: [0, 0.25, 0.5, 0.75, 1], ticktext: ["0", "0.25", "t = 0.5", "0.75", "1"], showgrid: false, ticks: "" };
  });
  const head = (i, text) => notes.push({ text: plotText(text), xref: "paper", yref: "paper", x: 0, xanchor: "left", y: domains[i][1], yanchor: "bottom", yshift: 3,
    showarrow: false, font: { size: 11.5, color: theme["ink-2"] } });
  path.series.forEach((one, i) => traces.push(...lossTraces(one, seriesColour(i))));
  const small = innerWidth < 760;
  head(0, (path.series[0].nats ? "loss (nats)" : "loss") + (small ? "; dashed: training rows, dotted: chord" : ": held-out rows with a 95 % band, dashed: training rows, dotted: chord"));
  if (metric) {
    path.series.forEach((one, i) => { if (one.metric === metric.metric) traces.push(...metricTraces(one, seriesColour(i))); });
    head(1, metric.metric.replace(/_/g, " ") + ", dotted: the ends");
  }
  tables.forEach((one, i) => {
    const row = heights.length - tables.length + i;
    traces.push(knownTrace(one, row + 1, path.series.indexOf(one)));
    Object.assign(axes["yaxis" + (row + 1)], { autorange: "reversed", showticklabels: false, showgrid: false, ticks: "" });
    const of = tables.length > 1 ? " of " + clip(one.task, small ? 12 : 26) : "";
    head(row, `${one.rows.length} ${one.split} rows${of} (dark: wrong${small ? "" : `; ${one.always} more are right all along`})`);
  });
  return { traces, height: whole + top + bottom, layout: { margin: { l: 52, r: 14, t: top, b: bottom }, ...axes, annotations: [...notes, ...endNotes(path)], shapes: pathShapes(path) } };
}

function bandTraces(t, [low, high], colour, axes) {
  const line = { width: 0 };
  return [
    { ...GONE, ...axes, type: "scatter", mode: "lines", x: t, y: low, line, hoverinfo: "skip" },
    { ...GONE, ...axes, type: "scatter", mode: "lines", x: t, y: high, line, fill: "tonexty", fillcolor: veil(colour, 0.18), hoverinfo: "skip" },
  ];
}

function lossTraces(one, colour) {
  const lines = { ...GONE, type: "scatter", mode: "lines", x: one.t };
  return [
    ...bandTraces(one.t, one.band, colour, {}),
    { ...lines, y: one.chord, line: { color: veil(theme["ink-2"], 0.9), width: 1.2, dash: "dot" }, hoverinfo: "skip" },
    { ...lines, y: one.train, line: { color: colour, width: 1.3, dash: "dash" }, hoverinfo: "skip" },
    { ...lines, y: one.loss, mode: one.t.length > 60 ? "lines" : "lines+markers", line: { color: colour, width: 2.2 }, marker: { size: 5, color: colour }, meta: one.task },
  ];
}

function metricTraces(one, colour) {
  const axes = { xaxis: "x2", yaxis: "y2" };
  const lines = { ...GONE, ...axes, type: "scatter", mode: "lines" };
  const level = (value) => ({ ...lines, x: [0, 1], y: [value, value], line: { color: veil(colour, 0.7), width: 1, dash: "dot" }, hoverinfo: "skip" });
  return [
    ...bandTraces(one.t, one.spread, colour, axes), level(one.values[0]), level(one.values[one.values.length - 1]),
    { ...lines, x: one.t, y: one.values, line: { color: colour, width: 2 }, meta: one.task },
  ];
}

// "0", "1" and "?" as numbers; a hole where there is no right or wrong.
function knownTrace(one, axis, place) {
  const z = one.rows.map((_, row) => one.known.map((line) => line[row] === "?" ? null : Number(line[row])));
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const [wrong, right] = dark ? ["#0b0d10", "#48657c"] : ["#3b4f63", "#d8e4ec"];
  return { ...GONE, type: "heatmap", x: one.t, z, xaxis: "x" + axis, yaxis: "y" + axis, zmin: 0, zmax: 1, showscale: false,
    colorscale: [[0, wrong], [1, right]], meta: { place } };
}

function endNotes(path) {
  const room = innerWidth < 760 ? 16 : 36;
  return path.names.map((name, i) => ({ text: plotText(clip(name, room)), xref: "paper", yref: "paper", x: i, xanchor: i ? "right" : "left",
    y: 0, yanchor: "top", yshift: -20, showarrow: false, font: { size: 12, color: theme.ink } }));
}

function pathShapes(path) {
  return path.series.flatMap((one, i) => {
    const [height, at] = one.barrier;
    const point = one.t.indexOf(at);
    if (!height || point < 0) return [];
    const colour = path.series.length > 1 ? seriesColour(i) : theme.ink;
    return [{ type: "line", xref: "x", yref: "y", x0: at, x1: at, y0: one.chord[point], y1: one.loss[point], line: { color: colour, width: 1.2 } }];
  });
}

function curveTip(path, point) {
  if (!point.data.meta) return null;
  const place = point.data.meta.place;
  if (place !== undefined) {
    const one = path.series[place], row = point.pointIndex[0], column = point.pointIndex[1];
    const answer = { 1: "right", 0: "wrong" }[one.known[column][row]] || "neither right nor wrong";
    return [el("b", {}, "row " + one.rows[row]), el("div", {}, `t = ${fixed(one.t[column], 2)}: ${answer}`)];
  }
  const one = path.series.find((it) => it.task === point.data.meta), i = point.pointIndex;
  const line = (...parts) => el("div", { class: "name" }, ...parts);
  const span = ([low, high]) => low[i] === null ? "" : ` (${short(low[i])} to ${short(high[i])})`;
  return [
    el("b", {}, "t = " + fixed(one.t[i], 2)), path.series.length > 1 && line(one.task), line(`loss ${short(one.loss[i])}${span(one.band)}`),
    line(`on training rows ${short(one.train[i])}`),
    one.metric && line(`${one.metric.replace(/_/g, " ")} ${short(one.values[i])}${span(one.spread)}`),
    one.forgotten.length > i && line(`${one.forgotten[i]} rows forgotten, ${one.gained[i]} gained here`),
  ];
}
