// The whole page, from the report that it carries.
const report = JSON.parse(document.getElementById("report").textContent);
const page = document.getElementById("page");
const config = report.run.config;

function head() {
  const agent = [config.agent, config.model].filter(Boolean).join(" · ");
  const when = report.run.started_at.replace("T", " ").replace(/\.\d+/, "").replace(/Z|\+00:00$/, " UTC");
  const envs = report.run.envs.map((each) => `${each.env_id} ${each.env_version}`);
  const which = envs.length > 3 ? `${envs.length} environments` : envs.join(", ");
  const about = `${which}; ${report.run.tasks.length} tasks × ${report.run.seeds.length}, seed ${config.seed}; started ${when}; gym-queue ${report.run.version}`;
  const name = config.exp_name ?? config.env;
  document.title = `${name}: ${agent}`;
  const theme = h("button", { type: "button", class: "theme", onclick: turnTheme }, "Light / dark");
  return h("header", { class: "head" }, h("div", {}, h("h1", {}, name, " – ", agent), h("p", { class: "soft" }, about)), theme);
}

function turnTheme() {
  const root = document.documentElement;
  const now = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
}

function tile(name, big, small) {
  return h("div", { class: "tile" }, h("dt", {}, name), h("dd", { class: "big" }, big), small && h("dd", { class: "soft" }, small));
}

function tiles() {
  const { total, means, sums } = report;
  const known = (value) => value !== null;
  return h("dl", { class: "tiles" },
    tile("pass rate", percent(total.rate), `${total.passed} of ${total.scored}; 95 %: ${percent(total.interval.low)} to ${percent(total.interval.high)}`),
    known(means.score) && tile("mean score", number(means.score), "of 100"),
    tile("not scored", number(total.not_scored), `${sums.lost_tries} tries lost to the infrastructure`),
    known(means.steps) && tile("mean steps", number(means.steps), `${number(sums.steps)} in all${sums.refused ? `, ${sums.refused} refused` : ""}`),
    known(means.seconds) && tile("mean time", seconds(means.seconds), `${seconds(sums.seconds)} in all`),
    known(sums.tokens) && tile("tokens", number(sums.tokens, 0), known(means.tokens) && `${number(means.tokens, 0)} an attempt`),
    known(sums.cost_usd) && tile("cost", dollars(sums.cost_usd), known(means.cost_usd) && `${dollars(means.cost_usd)} an attempt`),
  );
}

function rates(title, groups) {
  if (groups.length === 0 || (groups.length === 1 && groups[0].name === "(none)")) return null;
  const rows = groups.map((group) => {
    const { low, high } = group.interval;
    const vars = { "--low": percent(low).replace(" ", ""), "--high": percent(high).replace(" ", ""), "--rate": percent(group.rate ?? 0).replace(" ", "") };
    const lost = group.not_scored > 0 ? `, ${group.not_scored} not scored` : "";
    return h("li", {},
      h("div", { class: "ends" }, h("strong", {}, group.name), h("span", { class: "num" }, percent(group.rate))),
      h("div", { class: group.scored ? "track" : "track is-empty", vars }),
      h("div", { class: "ends soft" }, h("span", {}, `${group.passed} of ${group.scored}${lost}`), h("span", { class: "num" }, `${percent(low)} – ${percent(high)}`)),
    );
  });
  return h("section", {}, h("h2", {}, title), h("ul", { class: "groups" }, rows));
}

function passAtK() {
  if (report.run.seeds.length < 2) return null;
  const rows = report.pass_at_k.map(({ k, estimate, tasks }) => h("tr", {}, h("th", { scope: "row" }, `pass@${k}`), h("td", { class: "num" }, percent(estimate)), h("td", { class: "num soft" }, `${tasks} tasks`)));
  return h("section", {}, h("h2", {}, "pass@k"), h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, rows))),
    h("p", { class: "soft" }, "Unbiased estimate, 1 − C(n−c, k) / C(n, k), mean over tasks (Chen et al., arXiv:2107.03374)."));
}

const PHASES = {
  starting: "the agent's start", creating: "waiting for a slot, and the environment's start", resetting: "reset", acting: "the agent's turns",
  stepping: "the environment's steps, and the verifier", closing: "close", other: "the benchmark itself",
};

function time() {
  if (!report.time.length) return null;
  const rows = report.time.map((part) => h("tr", {}, h("th", { scope: "row" }, PHASES[part.name] ?? part.name),
    h("td", { class: "num" }, seconds(part.seconds)), h("td", { class: "num" }, percent(part.share)), h("td", { class: "num" }, brief(part.median))));
  const names = ["", "in all", "share", "median"].map((name) => h("th", { scope: "col", class: name && "num" }, name));
  return h("section", {}, h("h2", {}, "Time"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Time" }, h("table", {}, h("thead", {}, h("tr", {}, names)), h("tbody", {}, rows))));
}

function failures(places, onOpen) {
  if (!report.failures.length) return null;
  const rows = report.failures.map((group) => h("tr", {},
    h("td", { class: "num" }, String(group.keys.length)),
    h("td", {}, badge({ task: "failed", agent: "agent", infrastructure: "lost" }[group.kind])),
    h("td", { class: "said" }, group.reason),
    h("td", {}, whose(group.keys, places, onOpen)),
  ));
  const names = ["attempts", "kind", "why", "which"].map((name) => h("th", { scope: "col", class: name === "attempts" ? "num" : null }, name));
  return h("section", {}, h("h2", {}, "Why attempts did not pass"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Failures" }, h("table", {}, h("thead", {}, h("tr", {}, names)), h("tbody", {}, rows))));
}

function whose(keys, places, onOpen) {
  const links = keys.slice(0, 5).map((key) => places.get(key.join("/"))).map((at) => h("button", { class: "link", type: "button", onclick: () => onOpen(at) }, fullName(report.attempts[at])));
  return h("div", { class: "keys" }, links, keys.length > 5 && h("span", { class: "soft" }, `and ${keys.length - 5} more`));
}

const fullName = (attempt) => (report.run.envs.length > 1 ? `${attempt.env}/${attemptName(attempt)}` : attemptName(attempt));

function open(at) {
  const move = (step) => {
    const next = table.beside(at, step);
    if (next !== undefined) open(next);
  };
  history.replaceState(null, "", `#${at}`);
  showAttempt(report, at, { onClose: () => history.replaceState(null, "", "#"), onMove: move });
}

const places = new Map(report.attempts.map((attempt, at) => [`${attempt.env}/${attempt.task_id}/${attempt.repeat}`, at]));
const table = attemptTable(report, open);
const parts = [
  head(),
  report.missing > 0 && h("p", { class: "notice", role: "status" }, `${report.missing} attempts have not ended: the same command with --resume runs them.`),
  tiles(),
  h("div", { class: "rates" }, rates("By environment", report.by_env), rates("By difficulty", report.by_difficulty), rates("By tag", report.by_tag), passAtK()),
  h("p", { class: "soft" }, "Intervals are Wilson's, 95 %, and take attempts to be independent: repeats of one task are less so. Attempts that the infrastructure or a task itself broke are in no rate."),
  failures(places, open),
  time(),
  table.element,
];
page.replaceChildren(...parts.filter(Boolean));
const asked = location.hash.slice(1);
if (/^\d+$/.test(asked) && report.attempts[Number(asked)]) open(Number(asked));
