// The forest as an outline: one row a model, parents above children, edges drawn by their kind.
const ROW = 26;
const SIBLINGS = 8; // in big forests long rows of siblings are folded to this many
const FOUND = 100; // of what a search has found, more is shown
const BIG = 120;
const forest = { folded: new Set(), shown: new Map(), rows: [], at: 0 };

function kept() {
  if (!filtered()) return null;
  const keep = new Set();
  for (const model of state.matches) for (let m = model; m && !keep.has(m); m = m.above) keep.add(m);
  return keep;
}

// Rows from top to bottom; the chosen model and what leads to it are always among them.
function forestRows() {
  const keep = kept();
  const forced = new Set();
  for (let m = state.chosen; m; m = m.above) forced.add(m);
  const rows = [];
  const few = models.length <= BIG;
  const group = (parent, siblings) => {
    const some = keep ? siblings.filter((m) => keep.has(m)) : siblings;
    const limit = (few ? Infinity : keep ? FOUND : SIBLINGS) + (forest.shown.get(parent) || 0);
    if (some.length <= limit + 1) return { some, left: 0 };
    const first = some.filter((m, i) => i < limit || forced.has(m));
    return { some: first, left: some.length - first.length };
  };
  const stack = [];
  const push = (parent, siblings) => {
    const { some, left } = group(parent, siblings);
    if (left) stack.push({ more: parent, left, depth: parent ? parent.depth + 1 : 0 });
    for (let i = some.length - 1; i >= 0; i--) stack.push({ model: some[i], depth: some[i].depth });
  };
  push(null, roots);
  while (stack.length) {
    const row = stack.pop();
    rows.push(row);
    if (!row.model || !row.model.children.length) continue;
    const passed = row.model !== state.chosen && forced.has(row.model);
    row.open = !forest.folded.has(row.model) || passed;
    if (row.open) push(row.model, row.model.children);
  }
  return rows;
}

const EDGE_STYLES = {
  full: "", trained: "", lora: "thin", "frozen-part": "pale", cast: "double", copy: "double", quantised: "double",
  merge: "merge", pruned: "thin", unknown: "thin",
};
const edgeClass = (kind, sure) =>
  ["edge", EDGE_STYLES[kind] || "", sure !== null && sure < UNSURE ? "unsure" : ""].join(" ");

function drawEdge(path, kind, sure) {
  const drawn = [svg("path", { d: path, class: edgeClass(kind, sure) })];
  if (EDGE_STYLES[kind] === "double") drawn.push(svg("path", { d: path, class: "edge gap" }));
  return drawn;
}

function drawForest() {
  const box = $("forest");
  const rows = forest.rows = forestRows();
  const deepest = rows.reduce((most, row) => Math.max(most, row.depth), 0);
  const room = Math.max(90, Math.min(box.clientWidth * 0.35, 300));
  const step = Math.max(4, Math.min(26, deepest ? room / deepest : 26));
  const x = (depth) => 20 + depth * step;
  const y = (place) => place * ROW + ROW / 2;
  const picture = svg("svg", { width: x(deepest) + 12, height: rows.length * ROW, "aria-hidden": "true" });
  const places = new Map(rows.map((row, place) => [row.model || row, place]));
  const last = new Map();
  rows.forEach((row, place) => {
    const above = row.model ? row.model.above : row.more;
    if (above) last.set(above, place);
  });
  const bend = Math.min(6, step / 2);
  for (const [above, place] of last) {
    picture.append(svg("path", { class: "edge trunk", d: `M${x(above.depth)} ${y(places.get(above))}V${y(place) - bend}` }));
  }
  rows.forEach((row, place) => {
    if (!row.model || !row.model.above) return;
    const from = x(row.depth - 1), to = x(row.depth);
    picture.append(...drawEdge(`M${from} ${y(place) - bend}q0 ${bend} ${bend} ${bend}H${to}`, row.model.kind, row.model.sure));
  });
  rows.forEach((row, place) => {
    if (row.model) picture.append(mark(row.model, { transform: `translate(${x(row.depth)} ${y(place)})` }));
  });
  const kin = new Set((state.chosen ? state.chosen.edges : []).map((edge) => models[edge[0]]));
  if (state.chosen) for (let m = state.chosen.above; m; m = m.above) kin.add(m);
  const list = rows.map((row, place) => row.model
    ? twig(row, place, x(row.depth) + 13, kin)
    : el("div", { class: "twig more", role: "treeitem", tabindex: -1, "aria-level": row.depth + 1,
        style: `padding-left:${x(row.depth) - 4}px`, onclick: () => showMore(row, place) },
      `${thousands.format(row.left)} more …`));
  const tree = el("div", { class: "forest-tree", role: "tree", "aria-labelledby": "forest-title", onkeydown: forestKeys }, list);
  tree.append(picture);
  const held = box.contains(document.activeElement);
  const scroll = box.scrollTop;
  box.replaceChildren(rows.length ? tree : el("p", { class: "nothing" }, "No model matches the filters."));
  box.scrollTop = scroll;
  const at = state.chosen ? places.get(state.chosen) : Math.min(forest.at, rows.length - 1);
  roam(at === undefined ? 0 : at, held);
}

function twig(row, place, indent, kin) {
  const model = row.model;
  const tags = [];
  if (model.undecided.length) tags.push(el("span", { class: "tag warn", title: model.undecided.join("\n") }, "undecided"));
  if (model.gone) tags.push(el("span", { class: "tag" }, "gone"));
  const end = model.edges.length
    ? [el("span", {}, model.edges.length > 1 ? `${model.kind} of ${model.edges.length}` : model.kind),
       el("span", { class: "sure", title: "confidence" }, fixed(model.sure, 2))]
    : [el("span", {}, model.children.length ? "root" : "no kin")];
  const classes = ["twig", model.above ? "" : "root", kin.has(model) ? "kin" : "",
    (filtered() && !state.matches.has(model)) || !model.recent ? "faint" : ""].join(" ");
  return el("div", {
    class: classes, role: "treeitem", tabindex: -1, "aria-level": row.depth + 1,
    "aria-selected": model === state.chosen ? "true" : "false",
    "aria-expanded": model.children.length ? String(row.open) : null,
    style: `padding-left:${indent}px`, "data-name": model.name,
    onclick: () => { forest.at = place; choose(model); },
  },
  nameOf(model.name),
  model.children.length > 0 && el("span", { class: "fold", title: row.open ? "fold" : "unfold",
    onclick: (event) => { event.stopPropagation(); forest.at = place; toggle(model); } }, thousands.format(model.below)),
  tags, el("span", { class: "end" }, end));
}

function toggle(model, open) {
  const isFolded = forest.folded.has(model);
  if (open === undefined ? isFolded : open) forest.folded.delete(model);
  else forest.folded.add(model);
  drawForest();
}

function showMore(row, place) {
  forest.shown.set(row.more, (forest.shown.get(row.more) || 0) + 200);
  forest.at = place;
  drawForest();
}

function roam(place, focus) {
  const rows = $("forest").querySelectorAll(".twig");
  if (!rows.length) return;
  forest.at = Math.max(0, Math.min(place, rows.length - 1));
  rows.forEach((row, i) => { row.tabIndex = i === forest.at ? 0 : -1; });
  if (focus) rows[forest.at].focus({ preventScroll: false });
}

function forestKeys(event) {
  const row = forest.rows[forest.at];
  const open = row.model && row.model.children.length ? row.open : null;
  const level = (name) => forest.rows.findIndex((other) => other.model === name);
  const acts = {
    ArrowDown: () => roam(forest.at + 1, true),
    ArrowUp: () => roam(forest.at - 1, true),
    Home: () => roam(0, true),
    End: () => roam(forest.rows.length - 1, true),
    ArrowRight: () => open === false ? toggle(row.model, true) : open && roam(forest.at + 1, true),
    ArrowLeft: () => open ? toggle(row.model, false)
      : row.model && row.model.above && roam(level(row.model.above), true),
    Enter: () => row.model ? choose(row.model) : showMore(row, forest.at),
    " ": () => row.model ? choose(row.model) : showMore(row, forest.at),
  };
  if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  acts[event.key]();
}

function forestLegend() {
  const kinds = [...new Set(models.filter((m) => m.edges.length).map((m) => m.kind))];
  const sample = (kind, sure) => svg("svg", { width: 26, height: 10, "aria-hidden": "true" }, drawEdge("M1 5H25", kind, sure));
  const items = kinds.map((kind) => el("span", { class: "item" }, sample(kind, 1), kind));
  if (models.some((m) => m.sure !== null && m.sure < UNSURE)) {
    items.push(el("span", { class: "item" }, sample("full", 0), `confidence under ${UNSURE}`));
  }
  $("forest-legend").replaceChildren(...items);
  if (walked.some((m) => m.children.length)) {
    $("forest-tools").append(
      el("button", { type: "button", class: "button", onclick: () => { forest.folded.clear(); drawForest(); } }, "Unfold"),
      el("button", { type: "button", class: "button", onclick: () => {
        for (const m of models) if (m.children.length) forest.folded.add(m);
        drawForest();
      } }, "Fold"));
  }
}

function revealTwig() {
  const row = $("forest").querySelector('[aria-selected="true"]');
  if (!row) return;
  const box = $("forest"), top = row.offsetTop;
  if (top < box.scrollTop || top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = top - box.clientHeight / 2;
}
