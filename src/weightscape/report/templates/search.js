// Search by what models know: a fixed list of labels, whose scores were made when the page was.
const known = { labels: [], at: 0, text: "" };

function startKnown() {
  if (!atlas.known) return;
  known.labels = atlas.known.labels.map(([label, words, likely, hits], place) => (
    { place, label, words, likely, hits, hay: `${label}\n${words}`.toLowerCase() }));
  const search = $("known-search");
  search.addEventListener("input", soon(() => { known.text = search.value; findKnown(); }, 90));
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { known.text = search.value; findKnown(); }
    else if (event.key === "Escape" && search.value) { event.stopPropagation(); search.value = known.text = ""; findKnown(); }
  });
  on("chosen", markKnown);
  listKnown();
  showKnown(mostKnown());
}

// No score is so sure that it should be read as certain.
const chance = (percent) => percent >= 99.5 ? ">99%" : percent < 1 ? "<1%" : Math.round(percent) + "%";

// The label that most models are likely to know is the one to begin with.
const mostKnown = () => known.labels.reduce((best, one) => one.likely > known.labels[best].likely ? one.place : best, 0);

// Labels in which every typed word is, those first that begin with them.
function matchingLabels() {
  const text = known.text.toLowerCase().trim();
  const words = text.split(/\s+/).filter(Boolean);
  const some = known.labels.filter((one) => words.every((word) => one.hay.includes(word)));
  return text ? some.sort((a, b) => b.hay.startsWith(text) - a.hay.startsWith(text)) : some;
}

function listKnown() {
  const some = matchingLabels();
  const items = some.map((one) => el("li", {},
    el("button", { type: "button", "data-label": one.place, "aria-current": String(one.place === known.at), onclick: () => showKnown(one.place) },
      el("span", { class: "between name" }, clip(one.label, 60)),
      el("span", { class: "found" }, one.words && one.words !== one.label && el("span", { class: "name" }, clip(one.words, 60)),
        `${thousands.format(one.likely)} ${one.likely === 1 ? "model" : "models"}`))));
  if (!some.length) {
    items.push(el("li", { class: "rest" }, "No label has these words. The page holds a fixed list; any text can be asked for with "),
      el("li", { class: "rest" }, el("code", { class: "name" }, `weightscape search "${clip(known.text.replace(/["\\]/g, ""), 60)}"`)));
  }
  $("known-list").replaceChildren(...items);
  return some;
}

function findKnown() {
  const some = listKnown();
  if (known.text.trim() && some.length) showKnown(some[0].place);
  else if (!some.length) { showNone(); say("No label has these words"); }
  else if (known.at < 0) showKnown(mostKnown());
}

// The models of the label that was shown before are no answer to what is typed now.
function showNone() {
  known.at = -1;
  $("known-hits").replaceChildren(el("p", { class: "nothing" }, "No label has these words."));
}

function showKnown(place) {
  known.at = place;
  $("known-list").querySelectorAll("button").forEach((button) =>
    button.setAttribute("aria-current", String(Number(button.dataset.label) === place)));
  const one = known.labels[place];
  if (!one) return;
  $("known-hits").replaceChildren(
    el("h3", { class: "name" }, one.label),
    el("p", { class: "where name" }, one.words && one.words !== one.label ? one.words + ". " : "",
      `${thousands.format(one.likely)} ${one.likely === 1 ? "model is" : "models are"} likelier to know it than not. `, readBy()),
    one.hits.length ? hitTable(one) : el("p", { class: "nothing" }, "No model is likely to know it."));
  markKnown();
  say(`${one.label}: ${one.hits.length} models listed`);
}

function readBy() {
  const each = atlas.known.experts.map(([name, layer, many, right]) =>
    `${name} (${thousands.format(many)} models, from ${layer}${right === null ? "" : `, ${right}% right`})`);
  return "Read by " + each.slice(0, 3).join("; ") + (each.length > 3 ? `; and ${each.length - 3} more experts` : "") + ".";
}

function hitTable(one) {
  const rows = one.hits.map(([place, percent, said]) => el("tr", { "data-hit": place },
    el("td", {}, modelLink(place)),
    el("td", { class: "chance" }, el("span", { class: "chance-bar", style: `--share:${percent / 100}` }, el("i", { "aria-hidden": "true" }), el("b", {}, chance(percent)))),
    el("td", { class: "said" }, said ? el("span", { class: "tag" }, "labelled so") : null)));
  return el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "model"), el("th", { scope: "col" }, "probability"), el("th", { scope: "col", class: "said" }, ""))),
    el("tbody", {}, rows));
}

function markKnown() {
  if (!atlas.known) return;
  $("known-hits").querySelectorAll("tr[data-hit]").forEach((row) =>
    row.classList.toggle("chosen", state.chosen !== null && Number(row.dataset.hit) === state.chosen.place));
}

// What a model's panel says of what it knows; a label is a way into the card.
function knownList(model) {
  const own = atlas.known ? atlas.known.models[model.place] || [] : [];
  const go = (place) => { showKnown(place); $("known-card").scrollIntoView({ block: "start" }); };
  return own.length > 0 && el("ul", { class: "list" }, own.map(([label, percent]) => el("li", {},
    typeof label === "number" ? el("button", { type: "button", class: "link name", onclick: () => go(label) }, known.labels[label].label) : el("span", { class: "name" }, label),
    el("span", {}, chance(percent)))));
}
