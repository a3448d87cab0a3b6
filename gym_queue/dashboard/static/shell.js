// What stands around every view: navigation, masters, the state of the connection, messages.

import { fill, h, setText } from "./dom.js";
import { clock, compact, date, time } from "./format.js";
import { icon } from "./icons.js";
import { showHelp } from "./keys.js";
import { themeButton } from "./theme.js";
import { VIEWS } from "./views.js";

const TOAST_MS = 6000;

const STATES = {
  connecting: { text: "connecting", tone: "wait" },
  live: { text: "live", tone: "good" },
  stale: { text: "stale", tone: "warn" },
  disconnected: { text: "disconnected", tone: "bad" },
  unauthorized: { text: "signed out", tone: "off" },
};

/** The page's frame. */
export class Shell {
  /** @param {{onMaster: (key: string) => void, onTheme: () => void}} hooks */
  constructor({ onMaster, onTheme }) {
    this._onMaster = onMaster;
    this._nav = document.getElementById("nav");
    this._banner = document.getElementById("banner");
    this._mastersBox = document.getElementById("masters");
    this._pill = h("span", { class: "pill", dataset: { tone: "wait" } });
    this._role = h("span", { class: "role soft" });
    const help = h("button", {
      type: "button", class: "icon-button", "aria-label": "Keys (?)", title: "Keys (?)", onclick: showHelp,
    }, icon("help"));
    fill(document.getElementById("tools"), this._role, this._pill, help, themeButton(onTheme));
    this._toasts = document.getElementById("toasts");
    // Before the dialog takes itself away, and them with it.
    document.addEventListener("close", (event) => event.target.contains(this._toasts) && document.body.append(this._toasts), true);
    document.querySelector(".skip").addEventListener("click", (event) => {
      event.preventDefault();
      document.getElementById("main").focus();
    });
  }

  /** Marks the view that is shown. */
  showView(current, router) {
    if (this._links?.master !== router.master) this._buildNav(router);
    for (const [view, link] of Object.entries(this._links.of)) {
      if (view === (VIEWS[current].within ?? current)) {
        link.setAttribute("aria-current", "page");
        this._nav.scrollLeft = link.offsetLeft - 64; // on a phone the navigation is a line that scrolls
      } else link.removeAttribute("aria-current");
    }
  }

  _buildNav(router) {
    const listed = Object.entries(VIEWS).filter(([, view]) => !view.within);
    const of = Object.fromEntries(listed.map(([name, view]) => [name, navLink(name, view, router.href(name))]));
    this._links = { of, master: router.master };
    fill(this._nav, h("ul", {}, Object.values(of).map((link) => h("li", {}, link))));
  }

  /** Shows how many rows stand behind the views, in the navigation. */
  showCounts(overview) {
    const counts = {
      workers: overview.workers?.total, queue: overview.queue?.length, environments: overview.envs?.ready,
    };
    for (const [view, value] of Object.entries(counts)) {
      setText(this._links.of[view].lastElementChild, value ? compact(value) : "");
    }
  }

  /** Offers the masters, where there are several. */
  showMasters(masters, current) {
    if (masters.length < 2) {
      fill(this._mastersBox, h("span", { class: "master-name", title: "the master" }, masters[0]?.name ?? ""));
      return;
    }
    const options = masters.map((master, at) => h("option", { value: String(at), selected: String(at) === current }, master.name));
    const onchange = (event) => this._onMaster(event.target.value);
    fill(this._mastersBox, h("select", { "aria-label": "Master", onchange }, options));
  }

  /** Shows with what rights the page is looked at. */
  showMe(me) {
    const version = me.master?.version ? `version ${me.master.version}` : "";
    setText(this._role, me.may_act ? "" : "read only");
    this._role.title = me.may_act ? "" : "your token opens no calls that act";
    this._mastersBox.title = [version, me.master?.started_at ? `since ${date(me.master.started_at)}` : ""].filter(Boolean).join(", ");
  }

  /** Shows the state of the connection: a pill at the top, and a banner when what is shown is old. */
  showState(live) {
    const { text, tone } = STATES[live.state];
    this._pill.dataset.tone = tone;
    if (this._pill.dataset.state !== live.state) fill(this._pill, h("i", { class: "dot" }), text);
    this._pill.dataset.state = live.state;
    this._pill.title = live.lastHeard ? `last heard of the master: ${date(live.lastHeard)}` : "";
    const old = live.state === "stale" || live.state === "disconnected";
    document.getElementById("main").classList.toggle("is-old", old && live.lastHeard !== null);
    this._banner.hidden = !old;
    if (old && this._banner.dataset.since !== `${live.state}${live.since}${live.error?.message}`) this._tell(live);
  }

  // The age stands outside of what is read out, or it would be read out each second.
  _tell(live) {
    this._banner.dataset.since = `${live.state}${live.since}${live.error?.message}`;
    this._banner.dataset.state = live.state;
    const age = time(live.since, live.since, "for");
    fill(this._banner, icon("warn"), h("p", {}, h("span", { role: "status" }, sentence(live)), " ", h("span", { class: "soft" }, "(", age, ")")));
  }

  /** Shows nothing of what only those with a token may see. */
  showSignedOut() {
    fill(this._mastersBox);
    document.getElementById("main").replaceChildren();
    this.showState({ state: "unauthorized", lastHeard: null });
  }

  /**
   * Shows a message for a while.
   * @param {string} text
   * @param {"good"|"bad"|"info"} [kind]
   */
  notify(text, kind = "info") {
    const toast = h("p", { class: "toast", dataset: { tone: kind } }, icon(kind === "bad" ? "bad" : "ok"), h("span", {}, text));
    this._raiseToasts();
    this._toasts.append(toast);
    setTimeout(() => toast.remove(), TOAST_MS);
  }

  // A modal dialog covers the page, and keeps it from being read out: messages stand in the topmost one.
  _raiseToasts() {
    const host = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
    if (this._toasts.parentElement !== host) host.append(this._toasts);
  }
}

function navLink(name, view, href) {
  const label = h("span", { class: "nav-label" }, view.label);
  return h("a", { href, title: `g ${view.key}` }, icon(name), label, h("span", { class: "nav-count" }));
}

function sentence(live) {
  const seen = live.lastHeard === null ? "nothing was seen yet" : `what is shown is from ${clock(live.lastHeard)}`;
  if (live.state === "stale") return `Stale: nothing came from the master for a while; ${seen}.`;
  const why = live.error?.status ? ` The server says: ${live.error.message}` : "";
  return `Disconnected since ${clock(live.since)}: ${seen}. This page goes on trying.${why}`;
}
