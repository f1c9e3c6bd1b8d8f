// Ties the views together: one choice, one filter, one theme for all of them.
function drawFilters() {
  const selects = Object.entries(facets).map(([facet, { label, of }]) => {
    const counts = new Map();
    for (const m of models) counts.set(of(m), (counts.get(of(m)) || 0) + 1);
    if (counts.size < 2) return null;
    const options = [...counts].sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }));
    const select = el("select", { id: "facet-" + facet, onchange: (event) => want(facet, event.target.value === "" ? null : options[Number(event.target.value)][0]) },
      el("option", { value: "" }, "all"),
      options.map(([value, many], i) => el("option", { value: i }, `${clip(value, 40)} (${many})`)));
    facets[facet].show = () => {
      const at = options.findIndex(([value]) => value === state.wanted[facet]);
      select.value = at < 0 ? "" : String(at);
      select.classList.toggle("set", at >= 0);
    };
    return el("label", {}, label, select);
  });
  const clear = el("button", { type: "button", class: "button", id: "clear", onclick: clearFilters, hidden: true }, "Clear filters");
  $("filters").append(...selects.filter(Boolean), clear);
}

function clearFilters() {
  state.wanted = {};
  state.text = "";
  $("search").value = "";
  refilter();
}

function showFilters() {
  for (const { show } of Object.values(facets)) if (show) show();
  $("clear").hidden = !state.text && !Object.keys(state.wanted).length;
  say(filtered() ? `${state.matches.size} of ${models.length} models match` : "All models");
}

function listUndecided() {
  const list = $("undecided");
  if (!list) return;
  const spaced = (refs) => refs.flatMap((ref, i) => i ? [", ", modelLink(ref)] : [modelLink(ref)]);
  list.append(...atlas.undecided.map(([refs, reason]) => el("li", {}, spaced(refs), el("span", { class: "why" }, reason))));
}

// What is drawn at once would hold the page back when a key is typed: wait for a breath.
function soon(act, wait) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(act, wait); };
}

let plots = false;

function start() {
  readTheme();
  drawFilters();
  listUndecided();
  forestLegend();
  mapTools();
  heatTools();
  buildTable();
  startPaths();
  startKnown();
  results.forEach((card) => card.start());
  on("filter", () => { drawForest(); drawTable(); mapLegend(); showFilters(); });
  on("filter", soon(dimMap, 60));
  on("chosen", () => { drawPanel(); drawForest(); revealTwig(); markRow(); });
  on("chosen", soon(() => { ringMap(); outlineHeat(); }, 0));
  on("theme", () => { readTheme(); if (plots) drawMap(); if (heat.ready) drawHeat(); if (paths.ready) drawPath(); redrawResults(); });
  drawForest();
  mapLegend();
  drawTable();
  drawPanel();
  readAddress();
  listen();
}

// Plotly's bundle stands last in the page, so that forest and table need not wait for it.
function startPlots() {
  drawMap();
  plots = true;
  // the heat map is below the fold and the heaviest to draw
  if (atlas.heats.length) inSight($("heat"), () => { drawHeat(); outlineHeat(); });
  else drawHeat();
  if (paths.all.length) inSight($("path-plot"), drawPath);
  results.forEach((card) => card.plot());
  document.documentElement.dataset.ready = "true";
}

function redrawResults() {
  for (const card of results) if (card.ready) card.draw();
}

// Draws what is seen for the first time, or about to be.
function inSight(box, draw) {
  if (!("IntersectionObserver" in window)) return draw();
  const sight = new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) { sight.disconnect(); draw(); }
  }, { rootMargin: "300px" });
  return sight.observe(box);
}

function listen() {
  const search = $("search");
  search.addEventListener("input", soon(() => { state.text = search.value; refilter(); }, 90));
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      state.text = search.value;
      refilter();
      if (table.rows.length) choose(table.rows[0]);
    } else if (event.key === "Escape" && search.value) {
      event.stopPropagation();
      clearFilters();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) { event.preventDefault(); search.focus(); search.select(); }
    else if (event.key === "Escape" && !typing && state.chosen) choose(null);
  });
  addEventListener("hashchange", readAddress);
  addEventListener("popstate", readAddress);
  addEventListener("scroll", tip.hide, { passive: true });
  addEventListener("resize", soon(() => { drawForest(); if (plots) drawMap(); if (heat.ready) drawHeat(); if (paths.ready) drawPath(); redrawResults(); paintTable(true); }, 120));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => tell("theme"));
}

start();
document.addEventListener("DOMContentLoaded", startPlots);
