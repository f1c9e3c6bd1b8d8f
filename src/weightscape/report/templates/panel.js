// The panel: everything about the chosen model, or the atlas as a whole while none is chosen.
const FEW = 12;

function section(title, ...content) {
  const inside = content.flat().filter(Boolean);
  return inside.length ? [el("h3", {}, title), ...inside] : [];
}

function pairs(rows) {
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return known.length ? el("dl", {}, known.flatMap(([name, value]) => [el("dt", { class: "name" }, name), el("dd", { class: "name" }, value)])) : null;
}

// A list of models that stays short until more is asked for.
function modelList(some, note) {
  const list = el("ul", { class: "list" });
  const add = (from, to) => some.slice(from, to).forEach((m) => list.append(el("li", {}, modelLink(m.place), note ? el("span", {}, note(m)) : null)));
  add(0, FEW);
  if (some.length > FEW) {
    const more = el("li", {}, el("button", { type: "button", class: "button", onclick: () => { more.remove(); add(FEW); } }, `${thousands.format(some.length - FEW)} more`));
    list.append(more);
  }
  return list;
}

function madeFrom(model) {
  if (!model.edges.length) {
    return model.undecided.length ? null : el("p", {}, model.children.length
      ? `A root: ${thousands.format(model.below)} ${model.below === 1 ? "model descends" : "models descend"} from it, and none here is its parent.`
      : "No model here is related to it closely enough to be its parent or child.");
  }
  const evidence = (reasons) => reasons.length ? el("ul", { class: "evidence" }, reasons.map((reason) => el("li", { class: "name" }, reason))) : null;
  return model.edges.map(([parent, kind, sure, reasons, distance]) => el("div", { class: "made-by" },
    el("p", {}, capital(kindWords(kind)) + " ", modelLink(parent)),
    el("p", { class: "gauge", style: `--share:${sure === null ? 0 : Math.max(0, Math.min(1, sure))}` }, el("i", { "aria-hidden": "true" }), `${fixed(sure, 2)}, ${sureWords(sure)}`),
    distance === null ? null : el("p", { class: "gauge" }, `distance ${short(distance)}`),
    evidence(reasons)));
}
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function regionOf(model) {
  if (model.region === null) {
    return el("p", { class: "faint-text" }, model.edges.length || !model.children.length ? "In no region." : "A root has no delta, so it lies in no region.");
  }
  const region = atlas.regions[model.region];
  const alike = region.members.filter((place) => place !== model.place).length;
  return el("p", {}, regionIcon(model.region), " ",
    el("button", { type: "button", class: "link name", onclick: () => want("region", regionTitle(model.region)) }, regionTitle(model.region)),
    ` with ${thousands.format(alike)} other ${alike === 1 ? "model" : "models"}`,
    region.medoid === model.place ? "; it is the region's medoid" : "");
}

function nearest(model) {
  if (!model.near.length) return null;
  const cosines = model.near.some(([, , cosine]) => cosine !== null);
  return el("table", { class: "near" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "model"), cosines && el("th", { scope: "col" }, "cosine"), el("th", { scope: "col" }, "distance"))),
    el("tbody", {}, model.near.map(([ref, distance, cosine]) => el("tr", {}, el("td", {}, modelLink(ref)),
      cosines && el("td", {}, fixed(cosine, 3)), el("td", {}, short(distance))))));
}

function modelPanel(model) {
  const tags = [model.gone && el("span", { class: "tag warn" }, "its files are gone"), !model.recent && el("span", { class: "tag" }, "from an earlier chart"),
    model.undecided.length > 0 && el("span", { class: "tag warn" }, "undecided")].filter(Boolean);
  return [
    el("div", { class: "head" }, el("h2", { class: model.name.length > 48 ? "long" : null }, markIcon(model), el("span", { class: "name" }, model.name)),
      el("button", { type: "button", class: "button", id: "panel-close", onclick: () => choose(null) }, "Close")),
    el("p", { class: "where path name" }, model.path),
    tags.length > 0 && el("div", { class: "tags" }, tags),
    section("Made from", madeFrom(model), model.undecided.map((reason) => el("p", {}, reason))),
    section(`Children (${thousands.format(model.children.length)})`, model.children.length > 0 && modelList(model.children, (m) => m.kind)),
    section("Region", regionOf(model)),
    section("Knows, by its weights", knownList(model)),
    section("Nearest", nearest(model)),
    section("Paths", pathList(model)),
    section("Found of its groups", resultList(model)),
    section("Scores", pairs(Object.entries(model.scores).map(([name, value]) => [name, short(value)]))),
    section("Facts", pairs([["task", model.task], ["family", model.family], ["tree", model.tree], ["parameters", parameters(model.parameters)],
      ["size", bytes(model.nbytes)], ["type", model.dtype], ["format", model.format], ...model.facts])),
  ];
}

function atlasPanel() {
  const families = new Map();
  for (const m of models) families.set(m.family, (families.get(m.family) || new Set()).add(m.tree));
  const kinds = new Map();
  for (const m of models) if (m.edges.length) kinds.set(m.kind, (kinds.get(m.kind) || 0) + 1);
  const line = (left, right) => el("li", {}, left, el("span", {}, right));
  return [
    el("div", { class: "head" }, el("h2", {}, "The atlas")),
    el("p", { class: "where" }, "Choose a model in any view: it is marked in all of them, and this panel tells about it."),
    section("Families", [...families].slice(0, FEW).flatMap(([family, trees]) => [
      el("ul", { class: "list" }, line(el("span", { class: "name" }, family), `${trees.size} ${trees.size === 1 ? "tree" : "trees"}`)),
      atlas.families[family] && el("p", { class: "where" }, atlas.families[family])])),
    section("Roots", modelList(roots.filter((m) => m.children.length), (m) => `${thousands.format(m.below)} below`)),
    section("Made how", kinds.size > 0 && el("ul", { class: "list" }, [...kinds].sort((a, b) => b[1] - a[1]).map(([kind, many]) =>
      line(el("button", { type: "button", class: "link", onclick: () => want("kind", kind) }, kind), thousands.format(many))))),
  ];
}

function drawPanel() {
  const panel = $("panel");
  const content = state.chosen ? modelPanel(state.chosen) : atlasPanel();
  panel.replaceChildren(...content.flat(3).filter(Boolean));
  panel.classList.toggle("idle", !state.chosen);
  document.body.classList.toggle("choosing", Boolean(state.chosen));
  panel.scrollTop = 0;
  if (state.chosen) say("Chosen: " + state.chosen.name);
}
