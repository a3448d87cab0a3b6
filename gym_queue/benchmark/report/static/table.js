// The attempts: sorted by a column, filtered by words and by what became of them.
function attemptTable(report, onOpen) {
  const rows = report.attempts.map((attempt, at) => ({ attempt, at, element: null, words: wordsIn(attempt) }));
  const columns = columnsOf(report.attempts);
  const body = h("tbody");
  const count = h("span", { class: "soft", role: "status" });
  const query = h("input", { type: "search", placeholder: "Filter by task, tag, worker, words…", "aria-label": "Filter", oninput: show });
  const kinds = h("select", { "aria-label": "Outcome", onchange: show }, h("option", { value: "" }, "every outcome"),
    Object.entries(KINDS).map(([kind, name]) => h("option", { value: kind }, name)));
  const heads = columns.map((column) => h("th", { scope: "col", class: column.class }, h("button", { type: "button", onclick: () => sort(column) }, column.name)));
  let [by, way, shown] = [null, 1, rows];

  function sort(column) {
    [by, way] = [column, by === column ? -way : 1];
    heads.forEach((head, index) => {
      if (columns[index] === by) head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    show();
  }

  function show() {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = rows.filter(({ attempt, words: all }) => (!kinds.value || kindOf(attempt) === kinds.value) && words.every((word) => all.includes(word)));
    if (by) shown = [...shown].sort((one, other) => way * compare(by.key(one.attempt), by.key(other.attempt)) || one.at - other.at);
    body.replaceChildren(...shown.map((row) => (row.element ??= rowOf(row, columns, onOpen))));
    count.textContent = `${shown.length} of ${rows.length}`;
  }
  show();
  const table = h("table", { class: "attempts" }, h("thead", {}, h("tr", {}, heads)), body);
  const element = h("section", {}, h("h2", {}, "Attempts"), h("div", { class: "tools" }, query, kinds, count), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Attempts" }, table));
  /** Returns the attempt that stands so far from another one in what is shown. */
  const beside = (at, step) => shown[shown.findIndex((row) => row.at === at) + step]?.at;
  return { element, beside };
}

function wordsIn(attempt) {
  const parts = [attempt.task_id, attempt.env, attempt.reason, attempt.feedback, attempt.error?.code, attempt.error?.message, attempt.worker_id, attempt.difficulty, ...attempt.tags];
  return parts.filter(Boolean).join("\n").toLowerCase();
}

function compare(one, other) {
  if (one === other) return 0;
  if (one === null || one === undefined) return 1;
  if (other === null || other === undefined) return -1;
  return typeof one === "string" ? one.localeCompare(other) : one - other;
}

function columnsOf(attempts) {
  const has = (key) => attempts.some((attempt) => attempt[key] !== null && attempt[key] !== undefined && attempt[key] !== "");
  const plain = (name, key, text = (value) => number(value)) => ({ name, class: "num", key: (each) => each[key], cell: (each) => text(each[key]) });
  return [
    { name: "task", class: "name", key: (each) => each.task_id },
    new Set(attempts.map((each) => each.env)).size > 1 && { name: "environment", key: (each) => each.env, cell: (each) => each.env },
    { name: "outcome", key: (each) => Object.keys(KINDS).indexOf(kindOf(each)), cell: (each) => badge(kindOf(each)) },
    plain("score", "score"),
    plain("steps", "steps"),
    plain("time", "seconds", seconds),
    has("tokens") && plain("tokens", "tokens", (value) => number(value, 0)),
    has("cost_usd") && plain("cost", "cost_usd", dollars),
    has("difficulty") && { name: "difficulty", key: (each) => each.difficulty, cell: (each) => each.difficulty ?? "" },
    attempts.some((each) => each.tags.length) && { name: "tags", key: (each) => each.tags.join(" "), cell: (each) => each.tags.map((tag) => h("span", { class: "tag" }, tag)) },
    { name: "what was said", class: "said", key: saidOf, cell: (each) => h("div", { class: "clamp" }, saidOf(each)) },
  ].filter(Boolean);
}

const saidOf = (each) => (each.error ? `${each.error.code}: ${each.error.message}` : each.feedback).slice(0, 300);

function rowOf({ attempt, at }, columns, onOpen) {
  const open = h("button", { class: "link", type: "button" }, attemptName(attempt));
  const cells = columns.map((column, index) => h("td", { class: column.class }, index ? column.cell(attempt) : open));
  return h("tr", { onclick: () => onOpen(at) }, cells);
}
