// Paths: a list with a filter, and one path or plane drawn at a time.
const paths = { all: atlas.paths, at: 0, text: "", ready: false };
const SHOWN = 200; // more than this nobody scrolls through; the filter finds the rest

paths.all.forEach((path, place) => {
  path.place = place;
  path.names = path.ends.map(refName);
  path.verdict = path.kind === "plane" ? "plane" : path.series[0].verdict;
  path.hay = [...path.names, path.task, path.curve || "", path.verdict].join("\n").toLowerCase();
});
const curveWords = (path) => path.kind === "plane" ? "plane"
  : path.curve === "line" ? "straight line" : `${path.curve} with ${path.bends} bend${path.bends === 1 ? "" : "s"}`;

function verdictTag(verdict) {
  const kind = verdict === "connected" ? "connected" : verdict === "not connected" ? "not" : "";
  return el("span", { class: "verdict " + kind }, verdict);
}

// Those of the chosen model stand first, marked by nothing but their place.
function pathsInSight() {
  const words = paths.text.toLowerCase().split(/\s+/).filter(Boolean);
  const some = paths.all.filter((path) => words.every((word) => path.hay.includes(word)));
  const of = (path) => state.chosen !== null && path.ends.includes(state.chosen.place);
  return [...some.filter(of), ...some.filter((path) => !of(path))];
}

function listPaths() {
  const list = $("paths-list");
  if (!list) return;
  const some = pathsInSight();
  const items = some.slice(0, SHOWN).map((path) => el("li", {},
    el("button", { type: "button", "data-path": path.place, "aria-current": String(path.place === paths.at), onclick: () => showPath(path.place) },
      el("span", { class: "between name" }, path.names.map((name) => clip(name, 40)).join(path.kind === "plane" ? ", " : " → ")),
      el("span", { class: "found" }, el("span", { class: "name" }, clip(path.task, 30)),
        path.kind === "path" && path.curve !== "line" && path.curve, verdictTag(path.verdict)))));
  if (some.length > SHOWN) items.push(el("li", { class: "rest" }, `and ${thousands.format(some.length - SHOWN)} more: filter to see them`));
  if (!some.length) items.push(el("li", { class: "rest" }, "No path matches."));
  list.replaceChildren(...items);
}

function showPath(place) {
  paths.at = place;
  $("paths-list").querySelectorAll("button").forEach((button) =>
    button.setAttribute("aria-current", String(Number(button.dataset.path) === place)));
  drawPath();
  say("Path " + paths.all[place].names.join(" to "));
}

const seriesColour = (place) => theme.regions[place % PALETTE];

function pathWords(path) {
  const link = (ref, i) => [i ? (path.kind === "plane" ? ", " : " → ") : "", modelLink(ref)];
  const says = (lines) => el("ul", {}, lines.map((line) => el("li", { class: "name" }, line)));
  const series = path.series || [];
  const told = series.length > 1
    ? series.flatMap((one, i) => [el("p", { class: "of" }, el("i", { style: `background:${seriesColour(i)}`, "aria-hidden": "true" }), el("span", { class: "name" }, one.task)), says(one.says)])
    : [says(path.says || series[0].says)];
  const far = path.kind === "path" && path.distance !== null
    ? `, distance ${short(path.distance)}${path.cosine === null ? "" : ", cosine " + short(path.cosine)}` : "";
  $("path-words").replaceChildren(
    el("h3", {}, path.ends.flatMap(link)),
    el("p", { class: "where name" }, `${path.task}, ${curveWords(path)}${far}`),
    ...told, el("p", { class: "where path name" }, path.folder));
}

function drawPath() {
  const box = $("path-plot");
  if (!box || !paths.all.length) return;
  const path = paths.all[paths.at];
  pathWords(path);
  const drawn = path.kind === "plane" ? planeFigure(path) : curveFigure(path);
  box.style.height = drawn.height + "px";
  Plotly.react(box, drawn.traces, { ...pathFrame(), ...drawn.layout, height: drawn.height }, QUIET);
  if (paths.ready) return;
  paths.ready = true;
  box.on("plotly_hover", ({ points: [point], event }) => {
    const lines = paths.all[paths.at].kind === "plane" ? planeTip(paths.all[paths.at], point) : curveTip(paths.all[paths.at], point);
    if (lines) tip.show(event.clientX, event.clientY, ...lines);
  });
  box.on("plotly_unhover", tip.hide);
}

const pathFrame = () => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: theme.sans, size: 12, color: theme["ink-2"] },
  showlegend: false, dragmode: false, hovermode: "closest",
});

function startPaths() {
  if (!paths.all.length) return;
  document.body.classList.toggle("single", paths.all.length === 1);
  $("paths-search").addEventListener("input", soon(() => { paths.text = $("paths-search").value; listPaths(); }, 90));
  listPaths();
  on("chosen", listPaths);
}

// What a model's panel says of its paths.
const pathsOf = (model) => paths.all.filter((path) => path.ends.includes(model.place));
function pathList(model) {
  const some = pathsOf(model);
  const line = (path) => el("li", {},
    el("button", { type: "button", class: "link name", onclick: () => { showPath(path.place); $("paths-card").scrollIntoView({ block: "start" }); } },
      path.names.filter((name) => name !== model.name).join(", ") || path.names[0]),
    el("span", {}, path.kind === "plane" ? "plane" : path.verdict));
  return some.length > 0 && el("ul", { class: "list" }, some.slice(0, FEW).map(line),
    some.length > FEW && el("li", {}, `and ${thousands.format(some.length - FEW)} more`));
}
