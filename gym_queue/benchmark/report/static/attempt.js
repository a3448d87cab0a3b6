// One attempt: its verdict, and its frames with what was done on them. A frame is loaded when it is shown.
const sheet = document.getElementById("attempt");

function showAttempt(report, at, { onClose, onMove }) {
  const attempt = report.attempts[at];
  const source = document.getElementById(`steps-${at}`);
  const steps = source ? JSON.parse(source.textContent) : [];
  const title = attemptName(attempt);
  sheet.replaceChildren(
    h("div", { class: "sheet" },
      h("div", { class: "bar" },
        h("h2", { id: "attempt-title" }, title, " ", badge(kindOf(attempt))),
        h("button", { type: "button", onclick: () => onMove(-1) }, "Previous"),
        h("button", { type: "button", onclick: () => onMove(1) }, "Next"),
        h("button", { type: "button", onclick: () => sheet.close() }, "Close"),
      ),
      facts(attempt),
      said(attempt),
      steps.length ? player(attempt, steps) : h("p", { class: "soft" }, "No steps were kept."),
      attempt.is_cut && h("p", { class: "soft" }, "The page has its first steps alone; the trajectory has all."),
      files(attempt),
    ),
  );
  sheet.onclose = onClose;
  if (!sheet.open) sheet.showModal();
  sheet.scrollTop = 0;
}

function facts(attempt) {
  const known = {
    score: attempt.score, reward: attempt.reward, steps: attempt.steps, refused: attempt.refused || null, time: seconds(attempt.seconds),
    tokens: attempt.tokens && number(attempt.tokens, 0), cost: attempt.cost_usd && dollars(attempt.cost_usd),
    ended: attempt.reason, seed: attempt.seed, environment: attempt.env_id, worker: attempt.worker_id,
    difficulty: attempt.difficulty, tags: attempt.tags.join(", "),
    ...Object.fromEntries(Object.entries(attempt.timings ?? {}).map(([name, spent]) => [name, brief(spent)])),
  };
  const shown = Object.entries(known).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
}

function said(attempt) {
  const error = attempt.error && `${attempt.error.code}: ${attempt.error.message}`;
  const lost = attempt.lost.map((each, index) => `try ${index + 1} lost: ${each.code}: ${each.message}`);
  const text = [error, attempt.feedback, ...lost].filter(Boolean).join("\n");
  return text && h("div", { class: "words", tabindex: "0" }, text);
}

function files(attempt) {
  if (!attempt.folder) return null;
  const links = attempt.files.map((name) => h("a", { href: fileLink(attempt.folder, name), target: "_blank", rel: "noopener" }, name));
  return h("p", { class: "keys" }, links);
}

function player(attempt, steps) {
  let at = 0;
  const stage = h("div", { class: "stage" });
  const range = h("input", { type: "range", min: 0, max: steps.length - 1, value: 0, "aria-label": "Step", oninput: () => go(Number(range.value)) });
  const back = h("button", { type: "button", "aria-label": "Step back", onclick: () => go(at - 1) }, "‹");
  const on = h("button", { type: "button", "aria-label": "Step on", onclick: () => go(at + 1) }, "›");
  const where = h("span", { class: "num" });
  const list = h("ol", { class: "steps", tabindex: "0", "aria-label": "Steps" }, steps.map((step, index) => item(step, index, steps, () => go(index))));
  function go(index) {
    at = Math.min(Math.max(index, 0), steps.length - 1);
    range.value = at;
    where.textContent = `${at + 1} / ${steps.length}`;
    [back.disabled, on.disabled] = [at === 0, at === steps.length - 1];
    showFrame(stage, attempt.folder, steps[at]);
    list.querySelector("[aria-current]")?.removeAttribute("aria-current");
    const current = list.children[at].firstChild;
    current.setAttribute("aria-current", "step");
    list.scrollTop = current.offsetTop - list.offsetTop - list.clientHeight / 3;
  }
  go(0);
  return h("div", { class: "player" }, h("div", {}, stage, h("div", { class: "moves" }, back, range, on, where)), list);
}

function item(step, index, steps, onclick) {
  const isEnd = index === steps.length - 1 && !step.actions.length && index > 0;
  const words = isEnd ? "the end" : step.actions.map(wordsOf).join("; ") || "no action";
  return h("li", {}, h("button", { type: "button", onclick }, `${index + 1}. ${words}`, step.refused && h("span", { class: "note refused" }, `refused: ${step.refused}`), step.note && h("span", { class: "note" }, step.note)));
}

function showFrame(stage, folder, step) {
  if (!step.frame) {
    stage.replaceChildren(h("p", {}, "No frame of this step was kept."));
    return;
  }
  const image = h("img", { alt: "What the agent saw before this step", decoding: "async" });
  const draw = () => {
    if (!image.naturalWidth || !image.clientWidth) return;
    const size = [image.naturalWidth, image.naturalHeight];
    image.nextSibling?.remove();
    stage.append(drawMarks(step.actions, size, size[0] / image.clientWidth));
  };
  image.addEventListener("load", () => image.isConnected && draw());
  image.addEventListener("error", () => image.isConnected && stage.replaceChildren(h("p", {}, "The frame's file is not there.")));
  stage.replaceChildren(image);
  image.src = fileLink(folder, step.frame);
  stage.redraw = draw;
}

window.addEventListener("resize", () => sheet.querySelector(".stage")?.redraw?.());
sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());
