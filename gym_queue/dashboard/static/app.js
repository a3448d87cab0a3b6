// Asks for the fleet's state every 2 s and shows it. Whatever comes from outside becomes text, never markup.

const PATHS = { workers: "workers/list", queue: "queue", envs: "envs/list", tasks: "api/tasks" };
const POLL_MS = 2000;
const PATIENCE_MS = 5000;
const MAX_ROWS = 200;
const MAX_TEXT = 160;
const MAX_TITLE = 2000;
const KINDS = {
  healthy: "good", SUCCESS: "good", unhealthy: "warn", draining: "warn", RETRY: "warn", REVOKED: "warn",
  dead: "bad", FAILURE: "bad", REJECTED: "bad",
};

const byId = (id) => document.getElementById(id);
const began = performance.now();
let lastAnswer = null; // performance.now() of the last poll that brought something
let reason = ""; // why polls fail; empty while they do not
let polling = false;

async function read(path) {
  try {
    const reply = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    const body = await reply.json();
    if (!reply.ok) return { status: reply.status, error: String(body.error ?? `it answered ${reply.status}`) };
    return { status: 200, body, master: reply.headers.get("X-Gym-Queue-Master") };
  } catch (error) {
    return { status: 0, error: explain(error) };
  }
}

function explain(error) {
  if (error.name === "TimeoutError") return `no answer within ${PATIENCE_MS / 1000} s`;
  if (error instanceof SyntaxError) return "the answer is not JSON";
  return "no connection";
}

async function poll() {
  if (polling || document.hidden) return;
  polling = true;
  try {
    const names = Object.keys(PATHS);
    const replies = await Promise.all(names.map((name) => read(PATHS[name])));
    take(Object.fromEntries(names.map((name, at) => [name, replies[at]])));
  } catch (error) {
    reason = `this page cannot read the answer: ${error.message}`;
    tellAge();
  } finally {
    polling = false;
  }
}

function take(replies) {
  const all = Object.values(replies);
  if (all.some((reply) => reply.status === 401)) return lockOut();
  byId("login").hidden = true;
  if (all.every((reply) => reply.status !== 200)) {
    reason = all[0].error;
    return tellAge();
  }
  reason = "";
  lastAnswer = performance.now();
  show(replies);
}

function lockOut() {
  reason = "";
  lastAnswer = null;
  byId("data").hidden = true;
  byId("summary").textContent = "";
  for (const body of document.querySelectorAll("tbody")) body.replaceChildren();
  tell("unauthorised", "unauthorised: this dashboard shows its data to holders of the cluster's token");
  if (byId("login").hidden) {
    byId("login").hidden = false;
    byId("token").focus();
    if (new URLSearchParams(location.search).get("login") === "wrong") {
      byId("login-error").textContent = "the token of that link is wrong";
    }
  }
}

function tell(state, text) {
  const banner = byId("state");
  banner.dataset.state = state;
  banner.hidden = text === "";
  setText(banner, text);
}

function tellAge() {
  if (!reason) return;
  byId("data").classList.add("stale");
  const silent = duration((performance.now() - (lastAnswer ?? began)) / 1000, 0);
  const shown = lastAnswer === null ? "nothing was seen yet" : "showing what was last seen";
  tell("disconnected", `the master does not answer since ${silent}: ${shown} (${reason})`);
}

function show({ workers, queue, envs, tasks }) {
  const ofTasks = tasks.body?.workers ?? {};
  const master = workers.master ?? new URL(".", location.href).href.replace(/\/$/, "");
  section("workers", workers, (body) => body.workers.map((worker) => workerRow(worker, ofTasks)),
    `no worker yet: gym-anything-worker --master-url ${master}`);
  section("queue", queue, (body) => body.waiting.map(queueRow), "no create waits for a slot");
  section("envs", envs, (body) => Object.entries(body.environments).map(envRow), "no environment is open");
  section("counts", tasks, (body) => [countRow(body.counts)], "");
  section("tasks", tasks, (body) => body.latest.map(taskRow), "no task since the master started");
  summarise(workers.body, queue.body);
  byId("data").hidden = false;
  byId("data").classList.remove("stale");
  tell("ok", "");
}

function summarise(fleet, queue) {
  const used = fleet?.workers.reduce((sum, worker) => sum + worker.effective_count, 0);
  const parts = [];
  if (fleet) parts.push(`${fleet.healthy_workers} of ${fleet.total_workers} workers healthy`);
  if (fleet) parts.push(`${used} slots used, ${fleet.total_capacity} offered`);
  if (queue) parts.push(`${queue.total} waiting`);
  setText(byId("summary"), parts.join(" · "));
}

function section(id, reply, rowsOf, whenEmpty) {
  const table = byId(id);
  const note = table.parentElement.querySelector(".note");
  if (reply.status !== 200) {
    table.hidden = true;
    setText(note, `not shown: ${reply.error}`);
    return;
  }
  const rows = rowsOf(reply.body);
  table.hidden = rows.length === 0;
  fill(table, rows.slice(0, MAX_ROWS));
  const more = rows.length > MAX_ROWS ? `and ${rows.length - MAX_ROWS} more, which this page leaves out` : "";
  setText(note, rows.length ? more : whenEmpty);
}

function workerRow(worker, ofTasks) {
  const tasks = ofTasks[`gym@${worker.worker_id}`] ?? {}; // the node name that workers give themselves in Celery
  return [
    worker.worker_id, worker.status, `${worker.effective_count}/${worker.max_envs}`,
    (worker.metadata.available_runners ?? ["any"]).join(", "),
    percent(worker.cpu_percent), percent(worker.memory_percent),
    `${duration(worker.last_heartbeat_ago_sec)} ago`,
    tasks.active ?? 0, tasks.processed ?? 0, tasks.succeeded ?? 0, tasks.failed ?? 0,
  ];
}

function queueRow(create) {
  const why = Object.entries(create.why_not).map(([worker, because]) => `${worker}: ${because}`).join("; ");
  return [
    create.position + 1, create.env_id, create.priority, create.capability, duration(create.waiting_s, 0),
    why || "waits behind another that needs the same",
  ];
}

const envRow = ([id, env]) => [id, env.worker_id, env.worker_status ?? "unknown"];
const countRow = (counts) => labelsOf(byId("counts")).map((state) => counts[state] ?? 0);
const taskRow = (task) => [
  task.task_id, task.state, task.worker, task.queue,
  task.runtime_s === null ? "" : duration(task.runtime_s), task.exception,
];

// Changes only the cells that differ, so that a selection and the scroll position outlive a poll.
function fill(table, rows) {
  const labels = labelsOf(table);
  const body = table.tBodies[0];
  while (body.rows.length > rows.length) body.lastElementChild.remove();
  while (body.rows.length < rows.length) {
    const row = body.insertRow();
    for (const label of labels) row.insertCell().dataset.label = label;
  }
  rows.forEach((values, at) => values.forEach((value, column) => setCell(body.rows[at].cells[column], value)));
}

function labelsOf(table) {
  return [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
}

function setCell(cell, value) {
  const text = value === "" || value === null || value === undefined ? "–" : String(value);
  const isCut = text.length > MAX_TEXT;
  setText(cell, isCut ? `${text.slice(0, MAX_TEXT)}…` : text);
  cell.title = isCut ? text.slice(0, MAX_TITLE) : "";
  cell.dataset.kind = Object.hasOwn(KINDS, text) ? KINDS[text] : "";
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function percent(value) {
  return value === null || value === undefined ? "" : `${Math.round(value)}\u00a0%`;
}

function duration(seconds, digits = 1) {
  if (seconds < 1 && digits) return `${Math.round(seconds * 1000)}\u00a0ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? digits : 0)}\u00a0s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

async function signIn(event) {
  event.preventDefault();
  const field = byId("token");
  const failure = byId("login-error");
  failure.textContent = "";
  try {
    const reply = await fetch("dashboard/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: field.value.trim() }),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!reply.ok) {
      failure.textContent = String((await reply.json()).error);
      return;
    }
  } catch (error) {
    failure.textContent = `signing in failed: ${explain(error)}`;
    return;
  }
  field.value = "";
  poll();
}

byId("login").addEventListener("submit", signIn);
document.addEventListener("visibilitychange", poll);
setInterval(poll, POLL_MS);
setInterval(tellAge, 1000);
poll();
