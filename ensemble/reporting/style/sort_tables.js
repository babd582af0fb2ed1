// Headers of tables become buttons: upwards, downwards, and back to the first order.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const first = [...body.rows];
  const heads = [...table.tHead.querySelectorAll("th[data-column]")];
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" };
      const order = next[head.getAttribute("aria-sort") || "none"];
      for (const other of heads) other.removeAttribute("aria-sort");
      if (order !== "none") head.setAttribute("aria-sort", order);
      body.append(...sorted(first, head, order));
    });
  }
}

function sorted(rows, head, order) {
  if (order === "none") return rows;
  const column = Number(head.dataset.column);
  const isText = head.classList.contains("t");
  const keyed = rows.map((row) => [key(row.cells[column], isText), row]);
  const sign = order === "ascending" ? 1 : -1;
  const names = new Intl.Collator(undefined, { numeric: true });
  keyed.sort(([a], [b]) => {
    // What is not there comes last in both directions.
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (isText ? names.compare(a, b) : a - b);
  });
  return keyed.map(([, row]) => row);
}

// The number that a cell begins with ("0.21 [0.08, 0.34]", "< 0.001"), or its text.
function key(cell, isText) {
  const text = cell.dataset.sort || cell.textContent.trim();
  if (isText) return text || null;
  const number = /^[<>≈]?\s*([-+−]?\d[\d.]*(?:e[-+]?\d+)?)/i.exec(text);
  return number ? Number(number[1].replace("−", "-")) : null;
}
