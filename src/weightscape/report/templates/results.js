// What was found of groups of models: a card a kind, in it a list with a filter and one result at a time.
function resultCard(kind, plural, all, { title, tags, words, figure, more, tip: tipOf }) {
  const card = { kind, all, at: 0, text: "", ready: false };
  all.forEach((one, place) => {
    one.place = place;
    one.names = one.models.map(refName);
    one.hay = [...one.names, one.task, title(one), one.says[0] || ""].join("\n").toLowerCase();
  });

  function inSightNow() {
    const asked = card.text.toLowerCase().split(/\s+/).filter(Boolean);
    const some = all.filter((one) => asked.every((word) => one.hay.includes(word)));
    const of = (one) => state.chosen !== null && one.models.includes(state.chosen.place);
    return [...some.filter(of), ...some.filter((one) => !of(one))];
  }

  card.list = () => {
    const some = inSightNow();
    const items = some.slice(0, SHOWN).map((one) => el("li", {},
      el("button", { type: "button", "data-result": one.place, "aria-current": String(one.place === card.at), onclick: () => card.show(one.place) },
        el("span", { class: "between name" }, clip(title(one), 60)),
        el("span", { class: "found" }, el("span", { class: "name" }, clip(one.task, 40)), tags(one)))));
    if (some.length > SHOWN) items.push(el("li", { class: "rest" }, `and ${thousands.format(some.length - SHOWN)} more: filter to see them`));
    if (!some.length) items.push(el("li", { class: "rest" }, "None matches."));
    $(plural + "-list").replaceChildren(...items);
  };

  card.show = (place) => {
    card.at = place;
    $(plural + "-list").querySelectorAll("button").forEach((button) =>
      button.setAttribute("aria-current", String(Number(button.dataset.result) === place)));
    card.draw();
    say(title(all[place]));
  };

  card.draw = () => {
    const one = all[card.at], box = $(plural + "-plot");
    $(plural + "-words").replaceChildren(...words(one).filter(Boolean));
    $(plural + "-more").replaceChildren(...more(one).filter(Boolean));
    const drawn = figure(one, box.clientWidth || 600);
    box.style.height = drawn.height + "px";
    Plotly.react(box, drawn.traces, { ...pathFrame(), ...drawn.layout, height: drawn.height }, QUIET);
    if (card.ready) return;
    card.ready = true;
    box.on("plotly_hover", ({ points: [point], event }) => {
      const lines = tipOf(all[card.at], point);
      if (lines) tip.show(event.clientX, event.clientY, ...lines);
    });
    box.on("plotly_unhover", tip.hide);
  };

  card.start = () => {
    $(plural + "-body").classList.toggle("single", all.length === 1);
    $(plural + "-search").addEventListener("input", soon(() => { card.text = $(plural + "-search").value; card.list(); }, 90));
    card.list();
    on("chosen", card.list);
  };
  card.plot = () => inSight($(plural + "-plot"), card.draw);
  card.of = (model) => all.filter((one) => one.models.includes(model.place));
  card.go = (place) => { card.show(place); $(plural + "-card").scrollIntoView({ block: "start" }); };
  card.title = title;
  return card;
}

const resultHead = (title, where, says, folder) => [
  el("h3", {}, title), el("p", { class: "where name" }, where),
  el("ul", {}, says.map((line) => el("li", { class: "name" }, line))),
  folder && el("p", { class: "where path name" }, folder),
];

// Names as links, a few of them.
function someModels(refs, room) {
  const shown = refs.slice(0, room).flatMap((ref, i) => [i ? ", " : "", modelLink(ref)]);
  return refs.length > room ? [...shown, ` and ${refs.length - room} more`] : shown;
}

function resultTable(caption, columns, rows) {
  const cell = (tag, text, column) => el(tag, { class: column.class, scope: tag === "th" ? "col" : null }, ...[text].flat());
  return el("table", {}, caption && el("caption", {}, caption),
    el("thead", {}, el("tr", {}, columns.map((column) => cell("th", column.name, column)))),
    el("tbody", {}, rows.map(({ cells, taken }) => el("tr", { class: taken ? "taken" : null }, cells.map((text, i) => cell("td", text, columns[i]))))));
}

const quietAxis = () => ({ fixedrange: true, zeroline: false, gridcolor: theme["line-soft"], tickfont: { size: 11, color: theme["ink-3"] }, automargin: false });
const axisTitle = (text) => ({ text: plotText(text), font: { size: 11.5, color: theme["ink-3"] }, standoff: 6 });
const headNote = (text, x, y) => ({ text: plotText(text), xref: "paper", yref: "paper", x, xanchor: "left", y, yanchor: "bottom", yshift: 4,
  showarrow: false, font: { size: 11.5, color: theme["ink-2"] } });

const RESULT_OF = { region: "region measured", start: "starting points", tune: "blend" };

// What a model's panel says of the results that it is part of.
function resultList(model) {
  const line = (card, one) => el("li", {},
    el("button", { type: "button", class: "link name", onclick: () => card.go(one.place) }, clip(card.title(one), 60)),
    el("span", {}, RESULT_OF[card.kind]));
  const some = results.flatMap((card) => card.of(model).map((one) => line(card, one)));
  return some.length > 0 && el("ul", { class: "list" }, some.slice(0, FEW), some.length > FEW && el("li", {}, `and ${thousands.format(some.length - FEW)} more`));
}
