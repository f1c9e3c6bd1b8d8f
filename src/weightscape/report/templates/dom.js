// Elements are built here, and only from text: nothing of the data is ever read as HTML.
const $ = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

const nameOf = (text, extra) => el("span", { class: "name " + (extra || ""), title: text }, text);

// A model's name as something to choose; a name without a model stays text.
function modelLink(ref) {
  if (typeof ref !== "number") return el("span", { class: "name" }, ref);
  return el("button", { type: "button", class: "link name", onclick: () => choose(models[ref]) }, models[ref].name);
}

let saying = 0;
function say(text) {
  clearTimeout(saying);
  saying = setTimeout(() => { $("say").textContent = text; }, 150);
}

const tip = {
  show(x, y, ...lines) {
    const box = $("tip");
    box.replaceChildren(...lines.filter(Boolean));
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    const left = x + 14 + width > innerWidth ? x - 14 - width : x + 14;
    const top = y + 14 + height > innerHeight ? y - 14 - height : y + 14;
    box.style.left = Math.max(4, left) + "px";
    box.style.top = Math.max(4, top) + "px";
  },
  hide() { $("tip").hidden = true; },
};

function tipLines(model) {
  const line = (...parts) => el("div", {}, ...parts);
  const [edge] = model.edges;
  return [
    el("b", { class: "name" }, clip(model.name, 72)),
    model.task && line(model.task),
    edge ? line(kindWords(edge[1]) + " ", el("span", { class: "name" }, clip(refName(edge[0]), 72))) : line("root"),
    edge && edge[4] !== null && line("distance " + short(edge[4])),
    line(model.region === null ? "in no region" : "region " + clip(regionTitle(model.region), 72)),
    model.gone && line("its files are gone"),
  ];
}

const KINDS = {
  full: "full fine-tune of", trained: "fine-tune of", lora: "LoRA fine-tune of", "frozen-part": "fine-tune, partly frozen, of",
  cast: "cast of", quantised: "quantised from", copy: "exact copy of", merge: "merge of",
  pruned: "pruned from", unknown: "made from", root: "root",
};
const kindWords = (kind) => KINDS[kind] || kind + " of";
function sureWords(sure) {
  if (sure === null) return "confidence not known";
  if (sure >= 0.9) return "near certain";
  if (sure >= 0.7) return "likely";
  return sure >= 0.5 ? "tentative" : "little more than a guess";
}
const UNSURE = 0.7;
