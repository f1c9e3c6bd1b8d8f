// The atlas that the page carries, what is chosen, and what is filtered.
const atlas = JSON.parse(document.getElementById("atlas").textContent);
const models = atlas.models;
const byName = new Map();
const treeNames = [];

models.forEach((model, place) => {
  model.place = place;
  model.children = (atlas.children[place] || []).map((child) => models[child]);
  model.above = model.parent === null ? null : models[model.parent];
  model.kind = model.edges.length ? model.edges[0][1] : "root";
  model.sure = model.edges.length ? model.edges[0][2] : null;
  model.drift = model.edges.length ? model.edges[0][4] : null;
  model.undecided = [];
  byName.set(model.name, model);
});
const roots = atlas.roots.map((place) => models[place]);
atlas.undecided.forEach(([names, reason]) => {
  for (const name of names) if (typeof name === "number") models[name].undecided.push(reason);
});
for (const [tree] of atlas.boxes) treeNames.push(tree);
for (const model of models) if (!treeNames.includes(model.tree)) treeNames.push(model.tree);
const treePlace = new Map(treeNames.map((tree, place) => [tree, place]));

// the tree below each model: parents stand before children when walked from the roots
const walked = [];
for (const stack = roots.slice().reverse(); stack.length;) {
  const model = stack.pop();
  model.depth = model.above ? model.above.depth + 1 : 0;
  model.below = 0;
  walked.push(model);
  for (let i = model.children.length - 1; i >= 0; i--) stack.push(model.children[i]);
}
for (let i = walked.length - 1; i >= 0; i--) {
  if (walked[i].above) walked[i].above.below += walked[i].below + 1;
}

const regionTitle = (region) => region === null || region === undefined
  ? "" : atlas.regions[region].label.replace(/^region:/, "");
const parentName = (model) => model.edges.length ? refName(model.edges[0][0]) : "";
const refName = (ref) => typeof ref === "number" ? models[ref].name : ref;

const haystack = models.map((model) => [
  model.name, model.path, model.task || "", regionTitle(model.region), model.tree, model.family,
  model.kind, parentName(model), model.format, model.dtype,
].join("\n").toLowerCase());

const facets = {
  family: { label: "Family", of: (model) => model.family },
  tree: { label: "Tree", of: (model) => model.tree },
  region: { label: "Region", of: (model) => regionTitle(model.region) || "no region" },
  task: { label: "Task", of: (model) => model.task || "not known" },
  kind: { label: "Kind", of: (model) => model.kind },
  state: { label: "Files", of: (model) => model.gone ? "gone" : model.recent ? "just given" : "earlier" },
};

const state = { chosen: null, text: "", wanted: {}, matches: new Set(models) };
const heard = { chosen: [], filter: [], theme: [] };
const on = (event, listener) => heard[event].push(listener);
const tell = (event) => heard[event].forEach((listener) => listener());
const filtered = () => state.matches.size < models.length;

function refilter() {
  const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = Object.entries(state.wanted);
  state.matches = new Set(models.filter((model) =>
    words.every((word) => haystack[model.place].includes(word)) &&
    wanted.every(([facet, value]) => facets[facet].of(model) === value)));
  tell("filter");
}

function want(facet, value) {
  if (value === null || state.wanted[facet] === value) delete state.wanted[facet];
  else state.wanted[facet] = value;
  refilter();
}

// The address keeps the chosen model, so a link opens it and "back" goes to the one before.
function choose(model) {
  const hash = model ? "#model=" + encodeURIComponent(model.name) : "";
  if (location.hash !== hash) {
    if (hash) location.hash = hash;
    else history.pushState(null, "", location.pathname + location.search);
  }
  adopt(model);
}

function adopt(model) {
  if (state.chosen === model) return;
  state.chosen = model;
  tell("chosen");
}

function readAddress() {
  const found = /^#model=(.*)$/.exec(location.hash);
  if (!found) return location.hash ? undefined : adopt(null);
  let name = found[1];
  try { name = decodeURIComponent(name); } catch (broken) { /* taken as it is written */ }
  const model = byName.get(name);
  if (model) adopt(model);
  else say("No model is named " + name);
  return undefined;
}

const thousands = new Intl.NumberFormat("en");
const fixed = (value, digits) => value === null || value === undefined ? "" : value.toFixed(digits);
function short(value) {
  if (value === null || value === undefined) return "";
  if (Number.isInteger(value)) return thousands.format(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}
function scaled(value, steps, base) {
  let step = 0;
  while (value >= base && step < steps.length - 1) { value /= base; step++; }
  return (step === 0 ? String(value) : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)) + steps[step];
}
const parameters = (value) => value ? scaled(value, ["", " K", " M", " B", " T"], 1000) : "";
const bytes = (value) => value ? scaled(value, [" B", " kB", " MB", " GB", " TB"], 1000) : "";
