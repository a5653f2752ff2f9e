// The model card, drawn from player.json. Text only: nothing in it is read as HTML.

import { make } from "./bars.js";

export function drawCard(section, card) {
  section.append(make("h2", "", "About this model"));
  if (card.summary) section.append(make("p", "summary", card.summary));
  const columns = make("div", "columns");
  for (const { title, rows } of card.facts) {
    const group = make("div", "facts");
    group.append(make("h3", "", title));
    const list = make("dl");
    for (const [label, value] of rows) list.append(make("dt", "", label), make("dd", "", value));
    group.append(list);
    columns.append(group);
  }
  section.append(columns);
  const tables = make("div", "tables");
  for (const { title, header, rows } of card.tables) tables.append(drawTable(title, header, rows));
  section.append(tables);
  for (const { title, text } of card.notes) {
    section.append(make("h3", "", title), make("p", "note", text));
  }
}

function drawTable(title, header, rows) {
  const scroller = make("div", "scroller");
  scroller.tabIndex = 0;
  scroller.setAttribute("role", "region");
  scroller.setAttribute("aria-label", title);
  const table = make("table");
  table.append(make("caption", "", title));
  const head = make("tr");
  header.forEach((text) => {
    const cell = make("th", "", text);
    cell.scope = "col";
    head.append(cell);
  });
  const thead = make("thead");
  thead.append(head);
  const body = make("tbody");
  for (const values of rows) {
    const row = make("tr");
    values.forEach((value, i) => {
      const cell = make(i === 0 ? "th" : "td", "", String(value));
      if (i === 0) cell.scope = "row";
      row.append(cell);
    });
    body.append(row);
  }
  table.append(thead, body);
  scroller.append(table);
  return scroller;
}
