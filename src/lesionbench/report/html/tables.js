"use strict";
// Tables that can be sorted by a column and copied. tables.py writes the same Markdown to files.
(() => {
  const words = (node) => node.textContent.replace(/\s+/g, " ").trim();
  function parts(cell) {
    const bare = cell.cloneNode(true), small = [...bare.querySelectorAll("small")];
    for (const each of small) each.remove();
    return [words(bare), small.map(words).join("; ")];
  }
  const line = (cell) => { const [text, small] = parts(cell); return small ? `${text} (${small})` : text; };
  // Each row as long as the others, with a cell in every place that it spans.
  function fill(rows) {
    const filled = rows.map(() => []);
    rows.forEach((row, i) => {
      for (const cell of row.cells) {
        let j = 0;
        while (filled[i][j]) j++;
        for (const below of filled.slice(i, i + cell.rowSpan)) for (let k = 0; k < cell.colSpan; k++) below[j + k] = cell;
      }
    });
    return filled;
  }
  // A row of one cell is a heading within the table.
  const bodyRows = (table) => [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => row.cells.length > 1);

  function copied(table, caption, markdown) {
    const head = fill([...table.tHead.rows]);
    const names = head[0].map((_, j) => [...new Set(head.map((row) => line(row[j])))].join(": "));
    const rows = fill(bodyRows(table)).map((row) => row.map(line));
    if (!markdown) return [names, ...rows].map((row) => row.join("\t")).join("\n") + "\n";
    const marked = [names, names.map(() => "---"), ...rows].map((row) => "| " + row.map((text) => text.replaceAll("<", "&lt;").replaceAll("|", "\\|")).join(" | ") + " |");
    return `**${caption}. ${words(document.querySelector("title"))}**\n\n${marked.join("\n")}\n`;
  }

  // Numbers by size, text by the alphabet; what is undefined or too little to say comes last, whatever the order.
  function sorted(rows, column, falling) {
    const text = (row) => parts(row[column])[0];
    const number = (row) => Number.parseFloat(text(row).replaceAll(",", "").replace("\u2212", "-").replace(/^\+/, ""));
    const numeric = rows[0][column].tagName === "TD" && rows.some((row) => !Number.isNaN(number(row)));
    const key = numeric ? number : text;
    const last = (row) => (numeric ? Number.isNaN(key(row)) : key(row) === "\u2013");
    const compare = (a, b) => (numeric ? key(a) - key(b) : key(a).localeCompare(key(b), "en", { numeric: true }));
    return [...rows].sort((a, b) => last(a) - last(b) || (last(a) ? 0 : falling ? compare(b, a) : compare(a, b)));
  }
  function sortable(table) {
    const bodies = [...table.tBodies], rows = fill(bodyRows(table)), head = fill([...table.tHead.rows]).at(-1);
    if (rows.length < 2 || table.classList.contains("fixed")) return;
    const button = (cell) => {
      const made = document.createElement("button");
      made.type = "button";
      made.append(...cell.childNodes);
      cell.append(made);
      cell.setAttribute("aria-sort", "none");
      return made;
    };
    for (const [column, cell] of head.entries()) button(cell).addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[cell.getAttribute("aria-sort")];
      for (const each of head) each.setAttribute("aria-sort", each === cell ? next : "none");
      const body = document.createElement("tbody");
      for (const row of next === "none" ? [] : sorted(rows, column, next === "descending")) {
        const made = body.insertRow();
        for (const each of row) made.append(each.cloneNode(true));
        for (const each of made.cells) each.rowSpan = 1;
      }
      for (const old of [...table.tBodies]) old.remove();
      table.append(...(next === "none" ? bodies : [body]));
    });
  }
  function copyable(table, box, caption) {
    const told = document.createElement("span");
    told.setAttribute("role", "status");
    const button = (label, markdown) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = label;
      made.setAttribute("aria-label", `${label}: ${caption}`);
      made.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(copied(table, caption, markdown));
          told.textContent = "copied";
        } catch {
          told.textContent = "this browser lets no page copy; the files hold the same";
        }
        setTimeout(() => (told.textContent = ""), 3000);
      });
      return made;
    };
    box.prepend(button("Copy", false), " ", button("Copy Markdown", true), " ");
    box.append(told);
  }
  const framed = ["about:", "blob:"].includes(location.protocol); // MLflow shows the page so, without its files
  for (const box of document.querySelectorAll(".files")) {
    if (framed) for (const link of box.querySelectorAll("a")) link.remove();
    const region = document.getElementById(box.dataset.of), table = region.querySelector("table");
    sortable(table);
    copyable(table, box, region.getAttribute("aria-label"));
  }
})();
