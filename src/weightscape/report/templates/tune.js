// Blends: the weight of every model, the losses of the candidates, and the blend beside the other ways.
const BLEND_MODELS = 30;
const tuneTitle = (one) => one.names.slice(0, 2).map((name) => clip(name, 28)).join(", ") + (one.names.length > 2 ? ` and ${one.names.length - 2} more` : "");
const bestWay = (one) => one.ways.length > 0 && one.ways[0].blend;

function tuneTags(one) {
  if (one.ways.length < 2) return el("span", { class: "verdict" }, "not compared");
  return el("span", { class: "verdict " + (bestWay(one) ? "connected" : "") }, bestWay(one) ? "ahead of the others" : "another way is as good");
}

function tuneWords(one) {
  return resultHead([`The best blend for ${one.task}`], `${one.sampler}, ${one.space}, ${one.models.length} models: ${one.names.slice(0, 6).map((name) => clip(name, 30)).join(", ")}${one.names.length > 6 ? " …" : ""}`,
    one.says, one.output || one.folder);
}

const signedScale = () => [[0, theme.regions[1]], [0.5, theme.panel], [1, theme.regions[0]]];

// Panels stand below one another: each has its height in pixels, and axes of its own.
function tuneFigure(one, width) {
  const narrow = width < 560, shown = one.weights.slice(0, BLEND_MODELS), layered = one.groups.length > 0;
  const wayRows = one.ways.filter((way) => way.score[0] !== null);
  const row = 24, gap = 78, top = 16, bottom = 48;
  const heights = [row * Math.max(2, shown.length), 170, ...(wayRows.length > 1 ? [row * Math.max(3, wayRows.length)] : [])];
  const body = heights.reduce((a, b) => a + b) + gap * (heights.length - 1);
  const labels = [...shown.map(([ref]) => refName(ref)), ...wayRows.map((way) => way.name)];
  const names = narrow ? Math.min(130, width * 0.34) : Math.min(260, 30 + 6.6 * Math.max(...labels.map((it) => it.length)));
  const span = (place) => {
    const above = heights.slice(0, place).reduce((a, b) => a + b, 0) + gap * place;
    return [Math.max(0, 1 - (above + heights[place]) / body), 1 - above / body];
  };
  const cut = narrow ? 17 : 38, plain = { ...GONE, type: "scatter" };
  const rowAxis = (texts, place) => ({ ...quietAxis(), domain: span(place), range: [texts.length - 0.5, -0.5], tickvals: texts.map((_, i) => i), showgrid: false, ticks: "",
    ticktext: texts.map((text) => plotText(clip(text, cut))), tickfont: { size: 11.5, color: theme["ink-2"] } });
  const layout = { margin: { l: names, r: 18, t: top, b: bottom }, shapes: [], annotations: [], yaxis: rowAxis(labels.slice(0, shown.length), 0) };
  const traces = layered ? tuneHeat(one, shown) : tuneBars(one, shown);
  const far = shown.map(([, weight]) => weight), low = Math.min(0, ...far), high = Math.max(0.1, ...far);
  layout.xaxis = layered
    ? { ...quietAxis(), anchor: "y", showgrid: false, ticks: "", tickvals: one.groups.map((_, i) => i), ticktext: one.groups.map((it) => plotText(clip(it, narrow ? 8 : 16))), tickangle: narrow || one.groups.length > 9 ? -40 : 0 }
    : { ...quietAxis(), anchor: "y", range: [low * 1.12, high * 1.12], zeroline: low < 0, zerolinecolor: theme.line, title: axisTitle("weight in the blend"), nticks: 6 };
  traces.push(...tuneTrials(one, plain));
  const last = Math.max(1, ...one.trials.map(([number]) => number + 1));
  layout.yaxis2 = { ...quietAxis(), domain: span(1), anchor: "x2", title: axisTitle("loss while searching"), nticks: 5, ...tuneLosses(one) };
  layout.xaxis2 = { ...quietAxis(), anchor: "y2", title: axisTitle("candidate"), range: [0, last + 0.5 + last / 40], ...(last > 8 ? { nticks: 8 } : { dtick: 1 }) };
  layout.annotations.push({ ...headNote(narrow ? "line: best so far" : "dots: candidates, hollow: stopped early, line: the best so far", 0, span(1)[1]) });
  if (heights.length > 2) {
    wayRows.forEach((way, i) => traces.push(...tuneWay(one, way, i, plain)));
    layout.yaxis3 = { ...rowAxis(wayRows.map((way) => way.name), 2), anchor: "x3" };
    layout.yaxis3.ticktext = wayRows.map((way) => way.blend ? `<b>${plotText(way.name)}</b>` : plotText(clip(way.name, cut)));
    layout.xaxis3 = { ...quietAxis(), anchor: "y3", nticks: 6, range: tuneScores(one, wayRows), title: axisTitle(one.metric.replace(/_/g, " ") + (one.shares ? " (points)" : "") + (one.tested ? " on the test split" : " on development rows")) };
    layout.annotations.push(headNote(narrow ? "bar: 95 %" : "the blend beside other ways on the same rows; bar: 95 %", 0, span(2)[1]));
  }
  return { traces, height: body + top + bottom, layout };
}

function tuneScores(one, ways) {
  const ends = ways.flatMap((way) => way.score).filter((it) => it !== null).map((it) => (one.shares ? 100 : 1) * it);
  const low = Math.min(...ends), high = Math.max(...ends), room = (high - low || 1) * 0.05;
  return [low - room, high + room];
}

function tuneBars(one, shown) {
  const weights = shown.map(([, weight]) => weight);
  return [{ ...GONE, type: "bar", orientation: "h", x: weights, y: weights.map((_, i) => i), width: 0.62, text: weights.map((it) => fixed(it, 2)), textposition: "outside", cliponaxis: false,
    textfont: { size: 11, color: theme["ink-2"] }, marker: { color: weights.map((it) => it < 0 ? theme.regions[1] : theme.regions[0]) }, meta: { model: true } }];
}

function tuneHeat(one, shown) {
  const z = one.layers.slice(0, shown.length), most = Math.max(1e-9, ...z.flat().map((it) => Math.abs(it || 0)));
  const written = one.groups.length <= 12 && innerWidth > 760;
  return [{ ...GONE, type: "heatmap", z, zmin: -most, zmax: most, colorscale: signedScale(), showscale: false, xgap: 1, ygap: 1, meta: { heat: true },
    ...(written ? { text: z.map((row) => row.map((it) => it === null ? "" : fixed(it, 2))), texttemplate: "%{text}", textfont: { size: 11 } } : {}) }];
}

function tuneLosses(one) {
  const losses = one.trials.map(([, loss]) => loss).sort((a, b) => a - b);
  if (losses.length < 2) return {};
  const low = losses[0], high = losses[Math.min(losses.length - 1, Math.ceil(0.95 * losses.length) - 1)];
  const room = Math.max(high - low, 0.01 * Math.abs(low), 1e-6);
  return { range: [low - 0.08 * room, high + 0.12 * room] };
}

function tuneTrials(one, plain) {
  const at = (some) => ({ x: some.map(([number]) => number + 1), y: some.map(([, loss]) => loss) });
  const whole = one.trials.filter((it) => it[2]), raced = one.trials.filter((it) => !it[2]);
  let least = Infinity;
  const best = one.trials.map(([number, loss, complete]) => [number, least = complete ? Math.min(least, loss) : least]).filter(([, loss]) => loss < Infinity);
  const axes = { xaxis: "x2", yaxis: "y2" }, mark = theme.regions[0];
  return [
    { ...plain, ...axes, ...at(raced), mode: "markers", marker: { size: 6, symbol: "circle-open", color: veil(mark, 0.75) }, meta: { trial: true } },
    { ...plain, ...axes, ...at(whole), mode: "markers", marker: { size: 6, color: veil(mark, 0.75) }, meta: { trial: true } },
    { ...plain, ...axes, ...at(best), mode: "lines", line: { color: theme.regions[2], width: 2.2, shape: "hv" }, hoverinfo: "skip" },
  ];
}

function tuneWay(one, way, place, plain) {
  const unit = one.shares ? 100 : 1, [score, low, high] = way.score, colour = way.blend ? theme.regions[2] : theme.regions[0];
  const axes = { xaxis: "x3", yaxis: "y3" };
  return [
    ...(low !== null && high !== null ? [{ ...plain, ...axes, mode: "lines", x: [unit * low, unit * high], y: [place, place], line: { color: colour, width: 2.4 }, hoverinfo: "skip" }] : []),
    { ...plain, ...axes, mode: "markers", x: [unit * score], y: [place], marker: { size: 9, color: colour }, meta: { way: place } },
  ];
}

function tuneTip(one, point) {
  const meta = point.data.meta || {};
  const line = (...parts) => el("div", { class: "name" }, ...parts);
  if (meta.way !== undefined) {
    const way = one.ways[meta.way];
    return [el("b", { class: "name" }, way.name), way.why && line(way.why), line(`${one.metric.replace(/_/g, " ")} ${spanText(one, way.score)}`)];
  }
  if (meta.trial) return [el("b", {}, `candidate ${point.x}`), line(`loss ${short(point.y)}`)];
  if (meta.heat) {
    const [row, column] = point.pointIndex;
    return [el("b", { class: "name" }, clip(refName(one.weights[row][0]), 72)), line(`${one.groups[column]}: ${short(one.layers[row][column])}`)];
  }
  if (meta.model) return [el("b", { class: "name" }, clip(refName(one.weights[point.pointIndex][0]), 72)), line(`weight ${short(one.weights[point.pointIndex][1])}`)];
  return null;
}

function tuneMore(one) {
  const number = (name) => ({ name, class: "number" });
  const made = resultTable("what it is made of", [{ name: "model", class: "long" }, number(one.groups.length ? "mean weight" : "weight")],
    one.weights.slice(0, BLEND_MODELS).map(([ref, weight]) => ({ cells: [modelLink(ref), fixed(weight, 3)] })));
  if (one.ways.length < 2) return [made];
  const metric = one.metric.replace(/_/g, " ");
  const columns = [{ name: "way", class: "long" }, ...(one.tested ? [number(`${metric}, test`)] : []), number(`${metric}, dev`), { name: "", class: "long" }];
  const rows = one.ways.map((way) => ({ taken: way.blend, cells: [way.name, ...(one.tested ? [spanText(one, way.score)] : []), scoreText(one, way.dev), way.why] }));
  return [made, resultTable("beside other ways, on the same rows", columns, rows)];
}

const results = [
  resultCard("region", "regions", atlas.found.region, { title: regionResultTitle, tags: regionTags, words: regionWords, figure: regionFigure, more: regionMore, tip: regionTip }),
  resultCard("start", "starts", atlas.found.start, { title: startTitle, tags: startTags, words: startWords, figure: startFigure, more: startMore, tip: startTip }),
  resultCard("tune", "blends", atlas.found.tune, { title: tuneTitle, tags: tuneTags, words: tuneWords, figure: tuneFigure, more: tuneMore, tip: tuneTip }),
].filter((card) => card.all.length);
