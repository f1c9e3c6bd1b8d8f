// The table of models. Only the rows in sight are in the document, so thousands stay quick.
const LINE = 30;
const SPARE = 12;
const differs = (key) => new Set(models.map(key)).size > 1;
const table = { rows: [], by: null, down: false, at: 0, drawn: [-1, -1] };

const COLUMNS = [
  { title: "Model", of: (m) => m.name, cell: (m) => [markIcon(m), nameOf(m.name), m.gone && el("span", { class: "tag" }, "gone")] },
  { title: "Tree", of: (m) => m.tree, hide: () => !differs((m) => m.tree) },
  { title: "Region", of: (m) => regionTitle(m.region), hide: () => !atlas.regions.length },
  { title: "Task", of: (m) => m.task || "", hide: () => !models.some((m) => m.task) },
  { title: "Parent", of: parentName },
  { title: "Kind", of: (m) => m.kind },
  { title: "Confidence", of: (m) => m.sure, say: (value) => fixed(value, 2), number: true },
  { title: "Distance", of: (m) => m.drift, say: short, number: true, hide: () => models.every((m) => m.drift === null) },
  { title: "Parameters", of: (m) => m.parameters || null, say: parameters, number: true, hide: () => !differs((m) => m.parameters) },
  { title: "Size", of: (m) => m.nbytes || null, say: bytes, number: true, hide: () => !differs((m) => m.nbytes) },
  { title: "Type", of: (m) => m.dtype, hide: () => !differs((m) => m.dtype) },
  { title: "Format", of: (m) => m.format, hide: () => !differs((m) => m.format) },
];

function columns() {
  const counts = new Map();
  for (const m of models) for (const name of Object.keys(m.scores)) counts.set(name, (counts.get(name) || 0) + 1);
  const scores = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 2).map(([name]) => (
    { title: name, of: (m) => m.scores[name] === undefined ? null : m.scores[name], say: short, number: true, raw: true }));
  return [...COLUMNS.filter((column) => !column.hide || !column.hide()), ...scores];
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === "") return 1; // what is not known comes last, however it is sorted
  if (b === null || b === "") return -1;
  return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
}

function sortTable() {
  const rows = models.filter((m) => state.matches.has(m));
  const known = (value) => value !== null && value !== "";
  rows.sort((a, b) => {
    if (!table.by) return b.recent - a.recent || a.place - b.place;
    const x = table.by.of(a), y = table.by.of(b);
    const order = compare(x, y);
    return (table.down && known(x) && known(y) ? -order : order) || a.place - b.place;
  });
  table.rows = rows;
  table.at = Math.max(0, Math.min(table.at, rows.length - 1));
}

function buildTable() {
  table.columns = columns();
  const heads = table.columns.map((column) => el("th", { scope: "col", class: column.number ? "number" : null },
    el("button", { type: "button", class: column.raw ? "name" : null, onclick: () => {
      if (table.by !== column) { table.by = column; table.down = Boolean(column.number); }
      else if (table.down === Boolean(column.number)) table.down = !table.down;
      else { table.by = null; }
      drawTable();
    } }, column.title)));
  table.heads = heads;
  table.body = el("tbody", { onkeydown: tableKeys, onfocusin: standAt });
  table.scroll = el("div", { class: "grid-scroll", onscroll: () => paintTable(false) },
    el("table", { class: "grid", role: "grid", "aria-labelledby": "table-title" }, el("thead", {}, el("tr", {}, heads)), table.body));
  $("table").append(table.scroll);
}

function drawTable() {
  sortTable();
  table.heads.forEach((head, i) => {
    if (table.columns[i] === table.by) head.setAttribute("aria-sort", table.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  const shown = table.rows.length;
  $("table-count").textContent = filtered() ? `${thousands.format(shown)} of ${thousands.format(models.length)}` : "click a column to sort";
  table.scroll.firstChild.setAttribute("aria-rowcount", String(shown + 1));
  paintTable(true);
}

function paintTable(always) {
  const first = Math.max(0, Math.floor(table.scroll.scrollTop / LINE) - SPARE);
  const last = Math.min(table.rows.length, first + Math.ceil((table.scroll.clientHeight || 520) / LINE) + 2 * SPARE);
  if (!always && first === table.drawn[0] && last === table.drawn[1]) return;
  table.drawn = [first, last];
  const held = table.body.contains(document.activeElement);
  const filler = (count) => count > 0 && el("tr", { class: "filler", "aria-hidden": "true" },
    el("td", { colspan: table.columns.length, style: `height:${count * LINE}px` }));
  // a row that is pressed and then replaced would never be clicked: scrolling keeps what stays
  const kept = new Map(always ? [] : [...table.body.querySelectorAll("tr[data-place]")].map((row) => [Number(row.dataset.place), row]));
  const rows = table.rows.slice(first, last).map((m, i) => kept.get(first + i) || tableRow(m, first + i));
  if (!table.rows.length) rows.push(el("tr", { class: "filler" }, el("td", { colspan: table.columns.length, class: "nothing", style: "padding:18px 14px" }, "No model matches the filters.")));
  putRows([filler(first), ...rows, filler(table.rows.length - last)].filter(Boolean));
  const current = table.body.querySelector('tr[tabindex="0"]');
  if (!current && rows[0] && table.rows.length) rows[Math.min(SPARE, rows.length - 1)].tabIndex = 0;
  if (held && current) current.focus({ preventScroll: true });
}

// New rows come before old ones go, so that the table never is too short for where it is scrolled to.
function putRows(rows) {
  const wanted = new Set(rows), old = [...table.body.children].filter((row) => !wanted.has(row));
  let next = null;
  for (const row of [...rows].reverse()) {
    if (!row.isConnected) table.body.insertBefore(row, next);
    next = row;
  }
  for (const row of old) row.remove();
}

// A row that is clicked has the focus before it is chosen.
function standAt(event) {
  const row = event.target.closest("tr[data-place]");
  if (!row || row.tabIndex === 0) return;
  for (const other of table.body.querySelectorAll('tr[tabindex="0"]')) other.tabIndex = -1;
  row.tabIndex = 0;
  table.at = Number(row.dataset.place);
}

function tableRow(m, place) {
  return el("tr", {
    tabindex: place === table.at ? 0 : -1, "aria-rowindex": place + 2, "aria-selected": String(m === state.chosen),
    "data-name": m.name, "data-place": place, onclick: () => { table.at = place; choose(m); },
  }, table.columns.map((column) => {
    const value = column.of(m);
    const text = column.say ? column.say(value) : value;
    return el("td", { class: column.number ? "number" : null, title: column.cell ? null : text },
      column.cell ? column.cell(m) : el("span", { class: "name" }, text || ""));
  }));
}

function goRow(place, focus) {
  if (!table.rows.length) return;
  table.at = Math.max(0, Math.min(place, table.rows.length - 1));
  const top = table.at * LINE, head = 33;
  if (top < table.scroll.scrollTop) table.scroll.scrollTop = top;
  else if (top + LINE + head > table.scroll.scrollTop + table.scroll.clientHeight) table.scroll.scrollTop = top + LINE + head - table.scroll.clientHeight;
  paintTable(true);
  if (focus) table.body.querySelector('tr[tabindex="0"]').focus();
}

function tableKeys(event) {
  const row = event.target.closest("tr[data-place]");
  if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = Number(row.dataset.place), page = Math.floor(table.scroll.clientHeight / LINE) - 2;
  const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: table.rows.length - 1 };
  if (event.key in moves) goRow(moves[event.key], true);
  else if (event.key === "Enter" || event.key === " ") { table.at = at; choose(table.rows[at]); }
  else return;
  event.preventDefault();
}

function markRow() {
  const place = state.chosen ? table.rows.indexOf(state.chosen) : -1;
  if (place < 0) return paintTable(true);
  return goRow(place, false);
}
