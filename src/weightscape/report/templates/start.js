// Ranked starting points: scores with their intervals, single runs as dots, the base as a line.
const STARTS_SHOWN = 30;
const startUnit = (one) => one.shares ? 100 : 1;
const scoreText = (one, value, signed) => value === null ? "" : (signed && value >= 0 ? "+" : "") + (one.shares ? fixed(100 * value, 1) : short(value));
const spanText = (one, [value, low, high], signed) => value === null ? "" : scoreText(one, value, signed)
  + (low === null || high === null ? "" : ` (${scoreText(one, low, signed)} to ${scoreText(one, high, signed)})`);
const startTitle = (one) => one.recommended;

function startTags(one) {
  return el("span", { class: "verdict " + (one.beats ? "connected" : "") }, one.beats ? "beats the base" : "not beyond noise");
}

function startWords(one) {
  return resultHead([`Where to start from for ${one.task}`], `${one.method}, ${one.models.length} models: ${one.names.slice(0, 6).map((name) => clip(name, 30)).join(", ")}${one.names.length > 6 ? " …" : ""}`,
    one.says, one.output || one.folder);
}

function startsShown(one) {
  const some = one.ranked.slice(0, STARTS_SHOWN), base = one.ranked.find((it) => it.kind === "base");
  if (base && !some.includes(base)) some[some.length - 1] = base;
  return some;
}

const startColour = (one, start) => start.name === one.recommended ? theme.regions[2] : start.kind === "base" ? theme.ink : theme.regions[0];

function startFigure(one, width) {
  const some = startsShown(one), unit = startUnit(one), narrow = width < 560;
  const rowHeight = 24, top = 34, bottom = 46, body = rowHeight * Math.max(3, some.length);
  const names = narrow ? Math.min(130, width * 0.34) : Math.min(260, 30 + 6.6 * Math.max(...some.map((it) => it.name.length)));
  const split = narrow ? 1 : 0.72;
  const traces = [], shapes = [];
  const plain = { ...GONE, type: "scatter" };
  some.forEach((start, row) => {
    const colour = startColour(one, start), [score, low, high] = start.score;
    if (row % 2 === 0) shapes.push({ type: "rect", xref: "paper", yref: "y", x0: 0, x1: 1, y0: row - 0.5, y1: row + 0.5, fillcolor: veil(theme["ink-3"], 0.07), line: { width: 0 }, layer: "below" });
    if (low !== null && high !== null) traces.push({ ...plain, mode: "lines", x: [unit * low, unit * high], y: [row, row], line: { color: colour, width: 2.4 }, hoverinfo: "skip" });
    const runs = start.runs.filter((value) => value !== null);
    if (runs.length) traces.push({ ...plain, mode: "markers", x: runs.map((value) => unit * value), y: runs.map(() => row + 0.27), marker: { size: 4.5, color: veil(colour, 0.6) }, meta: { row } });
    if (score !== null) traces.push({ ...plain, mode: "markers", x: [unit * score], y: [row], marker: { size: 9, color: colour }, meta: { row } });
    if (start.test !== null) traces.push({ ...plain, mode: "markers", x: [unit * start.test], y: [row], marker: { size: 9, symbol: "diamond-open", color: colour, line: { width: 1.6 } }, meta: { row } });
    if (split < 1) {
      const [probe, from, to] = start.probe;
      if (from !== null) traces.push({ ...plain, mode: "lines", x: [from, to], y: [row, row], xaxis: "x2", line: { color: veil(colour, 0.6), width: 2 }, hoverinfo: "skip" });
      traces.push({ ...plain, mode: "markers", x: [probe], y: [row], xaxis: "x2", marker: { size: 7, color: colour }, meta: { row } });
    }
  });
  const base = one.ranked.find((it) => it.kind === "base");
  if (base && base.score[0] !== null) shapes.push({ type: "line", xref: "x", yref: "paper", x0: unit * base.score[0], x1: unit * base.score[0], y0: 0, y1: 1, line: { color: theme["ink-3"], width: 1, dash: "dash" } });
  const bold = (start, text) => start.name === one.recommended ? `<b>${text}</b>` : text;
  const says = narrow ? "dots: runs, hollow: test split, dashed: base" : "small dots: runs, bar: 95 %, hollow: the test split, dashed: the base";
  return { traces, height: body + top + bottom, layout: {
    margin: { l: names, r: 14, t: top, b: bottom }, shapes,
    annotations: [headNote(says, 0, 1)],
    yaxis: { ...quietAxis(), range: [Math.max(3, some.length) - 0.5, -0.5], tickvals: some.map((_, row) => row), showgrid: false,
      ticktext: some.map((start) => bold(start, plotText(clip(start.name, narrow ? 17 : 38)))), tickfont: { size: 11.5, color: theme["ink-2"] } },
    xaxis: { ...quietAxis(), domain: [0, split - (split < 1 ? 0.03 : 0)], title: axisTitle(one.metric.replace(/_/g, " ") + (one.shares ? " (points)" : "") + (narrow ? "" : " on rows not trained on")), nticks: 6 },
    ...(split < 1 ? { xaxis2: { ...quietAxis(), domain: [split + 0.01, 1], title: axisTitle("probe's loss"), nticks: 4, anchor: "y" } } : {}),
  } };
}

function startTip(one, point) {
  const meta = point.data.meta;
  if (!meta) return null;
  const start = startsShown(one)[meta.row];
  const line = (...parts) => el("div", { class: "name" }, ...parts);
  return [el("b", { class: "name" }, clip(start.name, 72)), line(start.why),
    start.score[0] !== null && line(`${one.metric.replace(/_/g, " ")} ${spanText(one, start.score)} in ${start.runs.length} ${start.runs.length === 1 ? "run" : "runs"}`),
    start.gain[0] !== null && start.kind !== "base" && line(`over the base ${spanText(one, start.gain, true)}`),
    start.test !== null && line(`on the test split ${scoreText(one, start.test)}`),
    line(`probe's loss ${short(start.probe[0])}`)];
}

function startMore(one) {
  const fate = (start) => start.name === one.recommended ? "recommended" : !start.runs.length ? "probe only" : start.dropped === null ? "" : `dropped in round ${start.dropped}`;
  const made = (start) => start.weights.flatMap(([ref, weight], i) => [i ? ", " : "", `${fixed(weight, 2)} `, modelLink(ref)]).concat(start.more ? [` and ${start.more} more`] : []);
  const tested = one.ranked.some((start) => start.test !== null);
  const number = (name) => ({ name, class: "number" });
  const named = (start) => fate(start) ? [start.name, el("span", { class: "fate" }, fate(start))] : start.name;
  const columns = [{ name: "start", class: "long" }, number(one.metric.replace(/_/g, " ")), number("over the base"), number("runs"), number("probe's loss"),
    ...(tested ? [number("test")] : []), { name: "made of", class: "long" }];
  const rows = startsShown(one).map((start) => ({ taken: start.name === one.recommended, cells: [named(start), spanText(one, start.score), start.kind === "base" ? "" : spanText(one, start.gain, true),
    start.runs.length ? String(start.runs.length) : "", fixed(start.probe[0], 3), ...(tested ? [scoreText(one, start.test)] : []), made(start)] }));
  return [resultTable("", columns, rows)];
}
