// A virtual table: any number of rows, a few dozen in the document. Keys move an active row.

import { element, setAttribute, setText } from "./dom.js";

const ROW_HEIGHT = 26;
const AHEAD = 6;

/**
 * A table of `rows` (objects with a unique `id`), sortable by its columns.
 *
 * A column is `{key, label, title, width, kind, sort(row), firstDescending, make(cell), update(cell, row)}`;
 * `decorate(tr, row)` sets what concerns the whole row.
 */
export class Grid {
  constructor({ columns, label, decorate, onSort }) {
    this.columns = columns;
    this.decorate = decorate;
    this.onSort = onSort;
    this.rows = [];
    this.shown = new Map();
    this.activeId = null;
    this.sorting = { key: null, descending: false };
    this.head = element("tr");
    this.above = spacer(columns.length);
    this.below = spacer(columns.length);
    this.body = element("tbody", {}, this.above, this.below);
    this.table = element("table", { role: "grid", "aria-label": label, class: "wb-table" },
      element("colgroup", {}, ...columns.map(columnElement)),
      element("thead", {}, this.head), this.body);
    this.root = element("div", { class: "wb-scroll", tabIndex: -1 }, this.table);
    this.headers = columns.map((column) => this.makeHeader(column));
    this.head.append(...this.headers);
    this.root.addEventListener("scroll", () => this.draw(), { passive: true });
    this.root.addEventListener("keydown", (event) => this.onKey(event));
    this.body.addEventListener("focusin", (event) => this.onFocus(event));
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.root);
  }

  close() {
    this.resized.disconnect();
  }

  makeHeader(column) {
    const cell = element("th", { scope: "col", class: cellClass(column), title: column.title });
    if (!column.sort) return fillHeader(cell, element("span", { class: "wb-hidden" }, column.label));
    const button = element("button", { type: "button", class: "wb-sort" }, element("span", {}, column.label));
    button.addEventListener("click", () => this.cycleSort(column));
    return fillHeader(cell, button);
  }

  /** First click: the column's own direction; second: the other; third: the order of opening again. */
  cycleSort(column) {
    const first = Boolean(column.firstDescending);
    const { key, descending } = this.sorting;
    if (key !== column.key) this.sorting = { key: column.key, descending: first };
    else if (descending === first) this.sorting = { key, descending: !first };
    else this.sorting = { key: null, descending: false };
    this.columns.forEach((other, index) => {
      const direction = this.sorting.descending ? "descending" : "ascending";
      setAttribute(this.headers[index], "aria-sort", other.key === this.sorting.key ? direction : null);
    });
    this.onSort();
  }

  /** `rows` in the order that the headers ask for. */
  sorted(rows) {
    const column = this.columns.find(({ key }) => key === this.sorting.key);
    if (!column) return rows.sort((a, b) => a.id - b.id);
    const sign = this.sorting.descending ? -1 : 1;
    const keyed = rows.map((row) => [column.sort(row), row]);
    keyed.sort(([a, x], [b, y]) => sign * compare(a, b) || x.id - y.id);
    return keyed.map(([, row]) => row);
  }

  /** Show `rows`, in this order. */
  show(rows) {
    this.rows = rows;
    setAttribute(this.table, "aria-rowcount", rows.length + 1);
    this.draw();
  }

  /** Bring the visible part of the document up to date. */
  draw() {
    const [first, last] = this.window();
    const wanted = this.rows.slice(first, last);
    const keep = new Set(wanted.map((row) => row.id));
    for (const [id, line] of this.shown) if (!keep.has(id)) this.discard(id, line);
    this.above.hidden = first === 0;
    this.above.firstChild.style.height = `${first * ROW_HEIGHT}px`;
    this.below.hidden = last >= this.rows.length;
    this.below.firstChild.style.height = `${(this.rows.length - last) * ROW_HEIGHT}px`;
    let after = this.above;
    wanted.forEach((row, index) => {
      const line = this.shown.get(row.id) ?? this.make(row);
      if (after.nextSibling !== line.tr) after.after(line.tr);
      after = line.tr;
      this.update(line, row, first + index);
    });
    this.placeTabStop(wanted);
  }

  window() {
    const top = Math.floor(this.root.scrollTop / ROW_HEIGHT);
    const visible = Math.ceil(this.root.clientHeight / ROW_HEIGHT);
    const first = Math.max(0, Math.min(top, this.rows.length - visible) - AHEAD);
    return [first, Math.min(this.rows.length, top + visible + AHEAD)];
  }

  make(row) {
    const cells = this.columns.map((column) => {
      const cell = element("td", { class: cellClass(column) });
      column.make?.(cell, row);
      return cell;
    });
    const tr = element("tr", { class: "wb-row" }, ...cells);
    tr.dataset.id = row.id;
    const line = { tr, cells };
    this.shown.set(row.id, line);
    return line;
  }

  update({ tr, cells }, row, index) {
    setAttribute(tr, "aria-rowindex", index + 2);
    tr.classList.toggle("wb-odd", index % 2 === 1);
    this.decorate(tr, row);
    this.columns.forEach((column, position) => {
      const cell = cells[position];
      if (column.update) column.update(cell, row);
      else setText(cell, column.text(row));
    });
  }

  discard(id, { tr }) {
    if (tr.contains(document.activeElement)) this.root.focus({ preventScroll: true });
    tr.remove();
    this.shown.delete(id);
  }

  /** One row at a time is in the order of the Tab key, and so are its buttons. */
  placeTabStop(wanted) {
    const active = wanted.some((row) => row.id === this.activeId) ? this.activeId : wanted[0]?.id;
    for (const [id, { tr }] of this.shown) {
      const index = id === active ? 0 : -1;
      if (tr.tabIndex === index && tr.hasAttribute("tabindex")) continue;
      tr.tabIndex = index;
      for (const button of tr.querySelectorAll("button")) button.tabIndex = index;
    }
  }

  onFocus(event) {
    const tr = event.target.closest("tr[data-id]");
    if (tr) this.activeId = Number(tr.dataset.id);
    this.placeTabStop(this.rows.filter((row) => this.shown.has(row.id)));
  }

  onKey(event) {
    if (event.target.closest("thead") || event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.root.clientHeight / ROW_HEIGHT) - 2);
    const at = this.rows.findIndex((row) => row.id === this.activeId);
    const last = this.rows.length - 1;
    const goal = {
      ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: last,
    }[event.key];
    if (goal === undefined || last < 0) return;
    event.preventDefault();
    event.stopPropagation();
    this.activate(Math.max(0, Math.min(last, goal)));
  }

  /** Move the focus to the row at `index`, scrolling as little as possible. */
  activate(index) {
    this.activeId = this.rows[index].id;
    const top = index * ROW_HEIGHT;
    const room = this.root.clientHeight - this.head.offsetHeight - ROW_HEIGHT;
    this.root.scrollTop = Math.max(Math.min(this.root.scrollTop, top), top - room);
    this.draw();
    this.shown.get(this.activeId)?.tr.focus({ preventScroll: true });
  }
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function cellClass({ key, kind }) {
  return `wb-${kind} wb-column-${key}`;
}

function columnElement(column) {
  const node = element("col", { class: `wb-column-${column.key}` });
  node.style.width = column.width;
  return node;
}

function fillHeader(cell, content) {
  cell.append(content);
  return cell;
}

function spacer(span) {
  return element("tr", { "aria-hidden": "true", class: "wb-space", hidden: true }, element("td", { colSpan: span }));
}
