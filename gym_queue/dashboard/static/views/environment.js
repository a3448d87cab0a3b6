// One environment: what it shows, what is done to it, and what became of it.

import { isAborted } from "../api.js";
import { confirm } from "../dialog.js";
import { fill, h } from "../dom.js";
import { time } from "../format.js";
import { icon } from "../icons.js";
import { Feed } from "../media_feed.js";
import { tabBar } from "../media_list.js";
import { isGone } from "../media_screen.js";
import { badge, emptyState } from "../notices.js";
import { DrivePanel } from "./environment_drive.js";
import { LivePanel } from "./environment_live.js";
import { LogsPanel } from "./environment_logs.js";
import { CallsPanel, FilesPanel, SessionPanel, StepsPanel, TrajectoryPanel } from "./environment_more.js";
import { episodeLinks } from "./environment_past.js";
import { VncPanel } from "./environment_vnc.js";

const PERIOD_MS = 2000;
const WAITS = new Set(["queued", "creating"]);
const ENDED = new Set(["closed", "lost"]);

/** @returns {Promise<{unmount: Function}>} */
export async function mount(root, ctx) {
  const envId = ctx.params.env;
  if (!envId) {
    const all = h("a", { href: ctx.href("environments") }, "All environments");
    root.append(
      h("h1", { tabindex: "-1" }, "Environment"),
      emptyState({ title: "No environment is named", more: all }),
    );
    return { unmount() {} };
  }
  const view = new EnvironmentView(root, ctx, envId);
  view.start();
  return { unmount: () => view.destroy() };
}

class EnvironmentView {
  constructor(root, ctx, envId) {
    Object.assign(this, {
      _ctx: ctx,
      _envId: envId,
      _path: `envs/${encodeURIComponent(envId)}`,
      _abort: new AbortController(),
    });
    Object.assign(this, { _life: null, _row: null, _session: null, _isWatching: false, _ended: false });
    this._live = new LivePanel(ctx, envId, { onEnd: () => this._askLife() });
    this._feed = new Feed(ctx.api, envId, { onChange: () => this._fed(), onEnd: () => this._askLife() });
    this._build(root);
  }

  _build(root) {
    this._title = h("h1", { tabindex: "-1", class: "cut" }, this._envId);
    this._facts = h("p", { class: "env-facts soft" });
    this._look = h("button", { type: "button", hidden: true, onclick: () => this._openVnc() }, "Take a look by VNC");
    this._hand = h("button", { type: "button", hidden: true, onclick: () => this._openDrive() }, "Drive");
    this._close = h(
      "button",
      { type: "button", class: "danger", hidden: true, onclick: () => this._askClose() },
      "Close",
    );
    this._banner = h("div", { role: "status" });
    this._stage = h("div", { class: "env-stage" }, this._live.element);
    const head = h(
      "div",
      { class: "view-head" },
      h("div", { class: "view-name" }, this._title, this._facts),
      h("div", { class: "buttons" }, this._hand, this._look, this._close),
    );
    root.append(head, this._banner, h("div", { class: "env-columns" }, this._stage, this._tabs()));
  }

  _tabs() {
    const { _ctx: ctx, _envId: envId } = this;
    this._panels = {
      steps: new StepsPanel(ctx),
      calls: new CallsPanel(ctx),
      trajectory: new TrajectoryPanel(),
      logs: new LogsPanel(ctx, envId),
      files: new FilesPanel(ctx, envId),
      session: new SessionPanel(),
    };
    const labels = {
      steps: "Steps",
      calls: "Calls",
      trajectory: "Trajectory",
      logs: "Logs",
      files: "Files",
      session: "Session",
    };
    const tabs = Object.entries(this._panels).map(([id, panel]) => ({
      id,
      label: labels[id],
      panel: h("div", {}, panel.element),
    }));
    const bar = tabBar(tabs, {
      label: "About the environment",
      chosen: ctx.params.tab,
      onChoose: (id) => this._choose(id),
    });
    return bar.element;
  }

  start() {
    this._choose(this._ctx.params.tab in this._panels ? this._ctx.params.tab : "steps");
    this._timer = setInterval(() => !document.hidden && this._askLife(), PERIOD_MS);
    this._askLife();
  }

  destroy() {
    clearInterval(this._timer);
    this._abort.abort();
    this._feed.stop();
    this._drive?.destroy();
    this._live.destroy();
    this._vnc?.destroy();
    this._panels.logs.deactivate();
  }

  _choose(id) {
    if (id !== (this._ctx.params.tab ?? "steps")) this._ctx.setParams({ tab: id === "steps" ? null : id });
    this._tab = id;
    this._panels.logs.deactivate();
    this._panels[id].activate?.();
    if (this._feed.hasAnswered) this._panels[id].update?.(this._feed);
  }

  _fed() {
    if (this._feed.episode !== null) this._live.start();
    this._live.setSteps(this._feed.steps);
    this._panels[this._tab].update?.(this._feed);
    if (this._feed.episode !== this._episode) this._askSession();
    this._episode = this._feed.episode;
  }

  async _askLife() {
    if (this._ended || this._asking) return;
    this._asking = true;
    try {
      const life = await this._ctx.api.get(this._path, {}, { signal: this._abort.signal });
      this._row ??= await this._findRow();
      this._take(life);
    } catch (error) {
      if (isAborted(error) || this._abort.signal.aborted) return;
      if (isGone(error)) this._end(error.status === 410 ? "lost" : "unknown", error.message);
      else if (error.status) this._say(icon("warn"), ` Its state is not known: ${error.message}`);
    } finally {
      this._asking = false;
    }
  }

  // What the environment is of, which the list knows; its state is asked for itself.
  async _findRow() {
    try {
      const reply = await this._ctx.api.get("api/envs", { q: this._envId, limit: 5 }, { signal: this._abort.signal });
      return reply.rows.find((row) => row.env_id === this._envId) ?? null;
    } catch (error) {
      if (isAborted(error)) throw error;
      return null; // it is shown by its id alone
    }
  }

  _take(life) {
    this._life = life;
    this._tellFacts();
    if (ENDED.has(life.state)) return this._end(life.state, life.reason);
    this._close.hidden = !this._ctx.me?.may_act || life.state === "closing";
    if (WAITS.has(life.state)) return this._live.stage.note(icon("wait"), ...waiting(life));
    this._say();
    if (this._isWatching) return;
    this._isWatching = true;
    this._live.wait();
    this._feed.start();
    this._hand.hidden = !this._ctx.me?.may_act;
    if (this._ctx.params.drive) this._openDrive();
  }

  _tellFacts() {
    const { _life: life, _row: row, _ctx: ctx } = this;
    const now = ctx.clock.now();
    if (row?.env) fill(this._title, row.env, row.task_id ? h("span", { class: "soft" }, ` / ${row.task_id}`) : null);
    const worker = life.worker_id && h("a", { href: ctx.href("workers", { q: life.worker_id }) }, life.worker_id);
    const since = Number.isFinite(life.age_s) ? time(now - life.age_s, now) : null;
    const parts = [
      badge(life.state),
      h("code", { class: "cut" }, this._envId),
      worker,
      row?.owner && `of ${row.owner}`,
      since,
    ];
    fill(this._facts, parts.filter(Boolean));
  }

  async _askSession() {
    try {
      const { session } = await this._ctx.api.get(`${this._path}/session_info`, {}, { signal: this._abort.signal });
      this._session = session;
      this._panels.session.show(session);
      this._look.hidden = !session?.vnc_url || !this._ctx.me?.may_act || this._vnc !== undefined;
    } catch (error) {
      if (!isAborted(error)) this._look.hidden = true; // the state says what is wrong with the environment
    }
  }

  _openDrive() {
    this._hand.hidden = true;
    this._closeVnc();
    this._ctx.setParams({ drive: 1 });
    this._drive = new DrivePanel(this._ctx, this._envId, { live: this._live, onClose: () => this._closeDrive() });
    this._stage.prepend(this._drive.above);
    this._stage.append(this._drive.below);
    this._drive.start();
  }

  _closeDrive() {
    this._drive?.destroy();
    this._drive = undefined;
    this._ctx.setParams({ drive: null });
    this._hand.hidden = this._ended || !this._ctx.me?.may_act;
  }

  _openVnc() {
    this._closeDrive();
    this._look.hidden = true;
    this._live.hold(true);
    this._vnc = new VncPanel(this._ctx, this._envId, { session: this._session, onClose: () => this._closeVnc() });
    this._stage.append(this._vnc.element);
    this._vnc.connect();
  }

  _closeVnc() {
    if (!this._vnc) return;
    this._vnc.destroy();
    this._vnc = undefined;
    this._look.hidden = this._ended;
    this._live.hold(false);
  }

  async _askClose() {
    const yes = await confirm({
      title: "Close this environment?",
      text: `Its sandbox ends at once, and its client's next call fails. ${this._envId}`,
      action: "Close the environment",
      danger: true,
    });
    if (!yes) return;
    this._close.disabled = true;
    try {
      await this._ctx.api.post(`${this._path}/close`);
      this._ctx.notify("The environment is closed.", "good");
    } catch (error) {
      this._ctx.notify(`It was not closed: ${error.message}`, "bad");
    }
    this._close.disabled = false;
    this._askLife();
  }

  // It has ended: what was seen stays, nothing is asked for again, and its episodes can be replayed.
  _end(how, reason) {
    this._ended = true;
    clearInterval(this._timer);
    this._feed.stop();
    this._live.stop();
    this._closeVnc();
    if (this._drive) this._closeDrive();
    this._look.hidden = this._close.hidden = true;
    this._panels.logs.deactivate();
    this._stage.hidden = this._live.stage.isEmpty;
    this._live.stage.note(icon("pause"), " It has ended: this is what was seen last.");
    if (!this._isWatching) this._panels.steps.miss();
    const what = {
      closed: "This environment has closed.",
      lost: "This environment was lost.",
      unknown: "No such environment is known here any more.",
    }[how];
    const episodes = h("div", {});
    this._say(h("strong", {}, what), reason && reason !== how ? ` ${reason}` : null, episodes);
    episodeLinks(this._ctx, this._envId, episodes, this._abort.signal);
  }

  _say(...content) {
    fill(this._banner, content.length ? h("div", { class: "env-banner" }, content) : null);
  }
}

function waiting(life) {
  if (life.state === "creating")
    return [" It is being made", life.worker_id ? ` on ${life.worker_id}.` : ".", " The live view begins by itself."];
  const place = Number.isInteger(life.position) ? `: ${life.position} before it` : "";
  return [` It waits in the queue${place}. The live view begins by itself.`];
}
