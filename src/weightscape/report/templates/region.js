// A region: losses by group, loss against the distance from the centre, and lines through pairs.
const STRETCH = 0.5; // room that a doubling beyond the models takes, as in the static picture
const distancePlace = (times) => times <= 1 ? times : 1 + STRETCH * Math.log2(times);
const alphaPlace = (alpha) => alpha > 1 ? 1 + STRETCH * Math.log2(alpha) : alpha < 0 ? -STRETCH * Math.log2(1 - alpha) : alpha;
const DISTANCE_TICKS = [0, 0.5, 1, 2, 4, 8, 16, 32, 64, 128];
const ALPHA_TICKS = [-31, -7, -1, 0, 1, 2, 8, 32];
const GROUP_HUES = { in: 0, hull: 2, ex: 1 };
const groupColour = (name) => theme.regions[GROUP_HUES[name] ?? 3];
const PANELS = 3; // tasks that get panels of their own

const regionResultTitle = (one) => one.label ? one.label.replace(/^region:/, "region ")
  : one.names.slice(0, 3).map((name) => clip(name, 24)).join(", ") + (one.names.length > 3 ? ` and ${one.names.length - 3} more` : "");
const regionVerdict = (one) => (one.says[0] || "").split(":")[0];

function regionTags(one) {
  const verdict = regionVerdict(one);
  const known = { "a region of good models": ["connected", "good"], "no region of good models": ["not", "not good"] }[verdict];
  return el("span", { class: "verdict " + (known ? known[0] : "") }, known ? known[1] : "cannot tell");
}

function regionWords(one) {
  return resultHead(someModels(one.models, 6), `${one.task}, ${one.models.length} models`, one.says, one.folder);
}

// A stable spread of points beside one another, without chance.
const besides = (i, many) => many < 2 ? 0 : ((i * 0.6180339887) % 1 - 0.5) * 0.62;

function groupTraces(one, step) {
  return one.groups.flatMap((group, g) => one.tasks.flatMap((task, t) => {
    const at = t * step + g, colour = groupColour(group.name);
    const losses = group.points.map((point) => point[2][t]);
    const known = losses.filter((loss) => loss !== null);
    if (!known.length) return [];
    const mean = known.reduce((sum, loss) => sum + loss, 0) / known.length;
    return [
      { ...GONE, type: "scatter", mode: "lines", x: [at - 0.36, at + 0.36], y: [mean, mean], line: { color: colour, width: 2.2 }, hoverinfo: "skip" },
      { ...GONE, type: "scatter", mode: "markers", x: losses.map((_, i) => at + besides(i, losses.length)), y: losses,
        marker: { size: 6, color: colour, opacity: 0.8 }, meta: { group: g, task: t } },
    ];
  }));
}

function distanceTraces(one, t, axes) {
  const radius = one.radii[t], unit = unitOf(one, t);
  const lines = { ...GONE, ...axes, type: "scatter", mode: "lines", line: { color: veil(theme["ink-2"], 0.55), width: 1 }, hoverinfo: "skip" };
  const rays = (radius ? radius.rays : []).map(([, distances, losses]) => ({ ...lines, x: distances.map((far) => distancePlace(far / unit)), y: losses }));
  const points = one.groups.map((group, g) => ({ ...GONE, ...axes, type: "scatter", mode: "markers", x: group.points.map((point) => distancePlace((point[1] || 0) / unit)),
    y: group.points.map((point) => point[2][t]), marker: { size: 6.5, color: groupColour(group.name), opacity: 0.85 }, meta: { group: g, task: t } }));
  const centre = { ...GONE, ...axes, type: "scatter", mode: "markers", x: [0], y: [one.centroid[t]], marker: { size: 10, symbol: "diamond", color: theme.ink }, meta: { centre: true, task: t } };
  return [...rays, ...points, centre];
}

// The distance that 1 stands for: the models' mean distance from their centre.
function unitOf(one, t) {
  if (one.radii[t]) return one.radii[t].unit;
  const own = one.groups.filter((group) => group.name === "in").flatMap((group) => group.points.map((point) => point[1] || 0));
  return own.reduce((sum, far) => sum + far, 0) / own.length || 1;
}

function furthestOf(one, t) {
  const unit = unitOf(one, t);
  const rays = one.radii[t] ? one.radii[t].rays.flatMap(([, distances]) => distances) : [];
  return Math.max(1, ...[...rays, ...one.groups.flatMap((group) => group.points.map((point) => point[1] || 0))].map((far) => far / unit)) * 1.02;
}

function pairTraces(one, t, axes) {
  return [false, true].flatMap((across) => {
    const some = one.pairs.filter((pair) => pair.across === across && pair.losses[t] && pair.losses[t].length === pair.alphas.length);
    const colour = theme.regions[across ? 1 : 0];
    const line = (pair, extra) => ({ ...GONE, ...axes, type: "scatter", mode: "lines", x: pair.alphas.map(alphaPlace), ...extra });
    const shared = some.length ? some[0].alphas.filter((alpha) => some.every((pair) => pair.alphas.includes(alpha))) : [];
    const middle = shared.map((alpha) => median(some.map((pair) => pair.losses[t][pair.alphas.indexOf(alpha)])));
    return [
      ...some.map((pair) => line(pair, { y: pair.losses[t], line: { color: veil(colour, 0.35), width: 1 }, meta: { pair: one.pairs.indexOf(pair), task: t } })),
      ...(shared.length ? [line({ alphas: shared }, { y: middle, line: { color: colour, width: 2.4 }, hoverinfo: "skip" })] : []),
    ];
  });
}

function median(values) {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  if (!known.length) return null;
  const half = (known.length - 1) / 2;
  return (known[Math.floor(half)] + known[Math.ceil(half)]) / 2;
}

function regionShapes(one, t, n) {
  const radius = one.radii[t], shapes = [];
  if (radius && radius.value !== null) {
    const [low, high] = radius.interval.map((end) => distancePlace((end === null ? radius.value : end) / radius.unit));
    const x = distancePlace(radius.value / radius.unit);
    shapes.push({ type: "rect", xref: "x" + n, yref: `y${n} domain`, x0: low, x1: high, y0: 0, y1: 1, fillcolor: veil(theme["ink-3"], 0.16), line: { width: 0 }, layer: "below" },
      { type: "line", xref: "x" + n, yref: `y${n} domain`, x0: x, x1: x, y0: 0, y1: 1, line: { color: theme["ink-3"], width: 1 } });
  }
  if (radius && radius.threshold !== null) {
    shapes.push({ type: "line", xref: `x${n} domain`, yref: "y" + n, x0: 0, x1: 1, y0: radius.threshold, y1: radius.threshold, line: { color: theme["ink-3"], width: 1, dash: "dash" } });
  }
  return shapes;
}

function regionFigure(one, width) {
  const narrow = width < 560;
  const tasks = one.tasks.slice(0, PANELS).map((_, t) => t);
  const columns = narrow ? 1 : tasks.length;
  const step = one.groups.length + 0.7;
  // each panel: its row, its column among how many, and what it draws
  const panels = [{ kind: "groups", column: 0, of: 1, height: 190 }];
  const rowsOf = (kind, height) => tasks.forEach((t, i) => panels.push({ kind, t, column: i % columns, of: columns, height, last: i % columns === columns - 1 || i === tasks.length - 1 }));
  rowsOf("distances", 210);
  if (one.pairs.length) rowsOf("pairs", 210);
  const gap = 66, top = 46, bottom = 44, between = 54;
  const rows = [];
  for (const panel of panels) {
    if (panel.column === 0) rows.push(panel.height);
    panel.row = rows.length - 1;
  }
  const whole = rows.reduce((sum, height) => sum + height, 0) + gap * (rows.length - 1);
  const inner = width - 52 - 14;
  const layout = { margin: { l: 52, r: 14, t: top, b: bottom }, annotations: [], shapes: [] }, traces = [];
  panels.forEach((panel, i) => {
    const n = i ? String(i + 1) : "", axes = { xaxis: "x" + n, yaxis: "y" + n };
    const above = rows.slice(0, panel.row).reduce((sum, height) => sum + height + gap, 0);
    const y = [Math.max(0, 1 - (above + panel.height) / whole), 1 - above / whole];
    const share = (1 - between * (panel.of - 1) / inner) / panel.of, x0 = panel.column * (share + between / inner);
    const x = { ...quietAxis(), anchor: "y" + n, domain: [x0, Math.min(1, x0 + share)], showgrid: false, ticks: "" };
    layout["yaxis" + n] = { ...quietAxis(), anchor: "x" + n, domain: y, nticks: 5 };
    layout["xaxis" + n] = x;
    const room = Math.floor(share * inner / 7);
    const head = (what, more) => columns > 1 ? clip(one.tasks[panel.t], room)
      : tasks.length > 1 ? `${clip(one.tasks[panel.t], 16)}: ${what}` : what + (narrow ? "" : more);
    if (panel.kind === "groups") {
      traces.push(...groupTraces(one, step));
      Object.assign(x, { range: [-0.8, (one.tasks.length - 1) * step + one.groups.length - 0.2], tickvals: one.tasks.map((_, t) => t * step + (one.groups.length - 1) / 2),
        ticktext: one.tasks.map((task) => plotText(clip(task, Math.max(6, Math.floor(room / one.tasks.length) - 1)))), tickangle: one.tasks.length > 6 && narrow ? 40 : 0 });
      layout.annotations.push(headNote("loss by group, head refitted (bar: mean)", 0, y[1]), ...groupLegend(one, y[1], narrow));
    } else if (panel.kind === "distances") {
      traces.push(...distanceTraces(one, panel.t, axes));
      const far = furthestOf(one, panel.t), ticks = DISTANCE_TICKS.filter((tick) => tick <= far);
      Object.assign(x, { range: [-0.06, distancePlace(far) + 0.04], tickvals: ticks.map(distancePlace), ticktext: ticks.map(String), title: axisTitle(`distance (1: the models' own, ${short(unitOf(one, panel.t))})`) });
      layout.shapes.push(...regionShapes(one, panel.t, n));
      layout.annotations.push(headNote(head("loss from the centre outwards", " (lines: rays, dashed: threshold)"), x0, y[1]));
    } else {
      traces.push(...pairTraces(one, panel.t, axes));
      const most = Math.max(1, ...one.pairs.flatMap((pair) => pair.alphas.map((alpha) => Math.abs(alpha - 0.5) + 0.5))) * 1.01;
      const ticks = ALPHA_TICKS.filter((tick) => Math.abs(tick - 0.5) + 0.5 <= most);
      Object.assign(x, { tickvals: ticks.map(alphaPlace), ticktext: ticks.map(String), title: axisTitle("step on the line; 0 and 1 are models") });
      layout.shapes.push({ type: "rect", xref: "x" + n, yref: `y${n} domain`, x0: 0, x1: 1, y0: 0, y1: 1, fillcolor: veil(theme["ink-3"], 0.1), line: { width: 0 }, layer: "below" });
      layout.annotations.push(headNote(head("lines through pairs", " (blue: both of the group, orange: one from outside)"), x0, y[1]));
    }
  });
  return { traces, height: whole + top + bottom, layout };
}

function groupLegend(one, y, narrow) {
  const marks = one.groups.filter((group) => group.points.length).map((group) => `<span style="color:${groupColour(group.name)}">●</span> ${plotText(group.about)}`);
  return [{ text: marks.join("   "), xref: "paper", yref: "paper", x: narrow ? 0 : 1, xanchor: narrow ? "left" : "right", y, yanchor: "bottom", yshift: narrow ? 20 : 4, showarrow: false,
    font: { size: 11.5, color: theme["ink-2"] } }];
}

function regionTip(one, point) {
  const meta = point.data.meta;
  if (!meta) return null;
  const line = (...parts) => el("div", { class: "name" }, ...parts);
  const task = one.tasks.length > 1 && line(one.tasks[meta.task]);
  if (meta.centre) return [el("b", {}, "the centre of the models"), task, line("loss " + short(one.centroid[meta.task]))];
  if (meta.pair !== undefined) {
    const pair = one.pairs[meta.pair], i = point.pointIndex;
    return [el("b", { class: "name" }, pair.ends.map((end) => clip(refName(end), 40)).join(" → ")), task, line(`at ${short(pair.alphas[i])}: loss ${short(pair.losses[meta.task][i])}`)];
  }
  const group = one.groups[meta.group], [name, far, losses] = group.points[point.pointIndex];
  return [el("b", { class: "name" }, clip(name, 72)), line(group.about), task, line("loss " + short(losses[meta.task])),
    line(`${fixed((far || 0) / unitOf(one, meta.task), 2)} of the models' own distance from the centre`)];
}

const PAIRS_SHOWN = [["in", "ex"], ["hull", "ex"], ["hull", "in"]];
function regionMore(one) {
  const about = Object.fromEntries(one.groups.map((group) => [group.name, group.about]));
  const written = (found) => !found || found[3] === null ? "" : fixed(found[3], 2) + (found[4][0] === null ? "" : ` (${fixed(found[4][0], 2)} to ${fixed(found[4][1], 2)})`);
  const columns = [{ name: "P_B" }, { name: one.tasks.length > 1 ? "mean over tasks" : one.tasks[0], class: "number" },
    ...(one.tasks.length > 1 ? one.tasks.map((task) => ({ name: clip(task, 20), class: "number" })) : [])];
  const rows = PAIRS_SHOWN.filter(([a, b]) => one.p_b.some((it) => it[0] === a && it[1] === b)).map(([a, b]) => {
    const of = (task) => one.p_b.find((it) => it[0] === a && it[1] === b && it[2] === task);
    const each = one.tasks.length > 1 ? one.tasks.map((_, t) => of(t) ? fixed(of(t)[3], 2) : "") : [];
    return { cells: [`${about[a]} over ${about[b]}`, written(of(null) || of(0)), ...each] };
  });
  return [rows.length > 0 && resultTable("How often a random one of the first has the smaller loss (0.5: no difference)", columns, rows)];
}
