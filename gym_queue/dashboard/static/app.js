// Boots the page: finds the masters, follows one of them, and shows the view that the address names.

import { Api } from "./api.js";
import { fill, h, throttle } from "./dom.js";
import { tickTimes } from "./format.js";
import { listenToKeys } from "./keys.js";
import { Live } from "./live.js";
import { loginForm } from "./login.js";
import { errorState, skeleton } from "./notices.js";
import { Router } from "./router.js";
import { Shell } from "./shell.js";
import { VIEWS } from "./views.js";

const AGAIN_MS = 2000;

/** The page as a whole. */
class App {
  constructor() {
    this._root = new URL("../", import.meta.url);
    this._main = document.getElementById("main");
    this._shell = new Shell({ onMaster: (master) => this._router.setMaster(master), onTheme: () => this._themed() });
    this._login = loginForm(this._root, () => this._signedIn());
    this._router = new Router(Object.keys(VIEWS), (...route) => this._route(...route));
    this._mounted = null;
    this._mounting = 0;
    this._masters = [];
    this._me = null;
    this._onNeedLogin = () => this._lockOut();
    this._meet = throttle(AGAIN_MS, () => this._meetNow());
    this._mastersAreGuessed = false;
  }

  async start() {
    listenToKeys(this._router);
    setInterval(() => this._tick(), 1000);
    await this._findMasters();
    this._router.start();
  }

  async _findMasters() {
    const api = new Api(this._root);
    try {
      this._masters = await api.get("api/masters");
    } catch {
      this._masters = [{ name: location.host, url: "", base: "" }]; // asked again once somebody answers
      this._mastersAreGuessed = true;
    }
  }

  _route(view, params, how) {
    const key = this._router.master || "0";
    if (key !== this._masterKey) this._follow(key);
    if (this._mounted?.view === view && this._mounted.instance.update && this._mounted.key === key) {
      this._mounted.ctx.params = params;
      this._mounted.instance.update(params);
    } else this._mount(view, params, how);
    this._shell.showView(view, this._router);
  }

  _follow(key) {
    this._live?.stop();
    this._masterKey = key;
    const master = this._masters[Number(key)] ?? this._masters[0];
    this._api = new Api(this._root, master.base, { onUnauthorized: this._onNeedLogin });
    this._live = new Live(this._api);
    this._me = null;
    this._live.subscribe("state", () => this._stateChanged());
    this._shell.showMasters(this._masters, key);
    this._live.subscribe("overview", (overview) => this._shell.showCounts(overview));
    this._live.start();
    this._met = this._meetNow();
  }

  async _meetNow() {
    const api = this._api;
    try {
      const me = await api.get("api/me");
      if (api !== this._api) return;
      if (this._mastersAreGuessed) await this._knowMasters();
      this._me = me;
      this._shell.showMe(me);
      this._login.hide();
      this._main.hidden = false;
      if (this._mounted && this._mounted.ctx.me?.may_act !== me.may_act) this._remount();
    } catch (error) {
      if (api === this._api && error.status !== 401) setTimeout(() => this._meet(), AGAIN_MS);
    }
  }

  async _knowMasters() {
    this._mastersAreGuessed = false;
    await this._findMasters();
    this._follow(this._router.master || "0");
  }

  async _mount(view, params, how) {
    const mounting = (this._mounting += 1);
    this._unmount();
    const root = h("div", { class: `view view-${view}` }, skeleton(6));
    fill(this._main, root);
    await this._met;
    if (mounting !== this._mounting) return;
    const ctx = this._context(params);
    try {
      const { mount } = await import(`./views/${view}.js`);
      if (mounting !== this._mounting) return;
      fill(root);
      const instance = await mount(root, ctx);
      if (mounting !== this._mounting) return void instance.unmount();
      this._mounted = { view, ctx, instance, key: this._masterKey };
    } catch (error) {
      console.error(`the view ${view} cannot be shown:`, error);
      fill(root, errorState(error, () => this._remount()));
    }
    if (how === "link") (root.querySelector("h1") ?? this._main).focus?.();
  }

  _context(params) {
    const router = this._router;
    return {
      api: this._api, live: this._live, clock: this._api.clock, me: this._me, masters: this._masters,
      master: this._masterKey, apiOf: (base) => new Api(this._root, base), params,
      href: (...to) => router.href(...to),
      navigate: (...to) => router.navigate(...to),
      notify: (text, kind) => this._shell.notify(text, kind),
      setParams(changes) {
        router.setParams(changes);
        this.params = router.params;
      },
    };
  }

  _remount() {
    this._mount(this._router.view, this._router.params, "load");
  }

  _unmount() {
    this._mounted?.instance.unmount();
    this._mounted = null;
  }

  _themed() {
    document.dispatchEvent(new CustomEvent("themechange"));
  }

  _stateChanged() {
    const { state } = this._live;
    if (state === "unauthorized") return this._lockOut();
    if (state === "live") this._meet(); // a restarted master may see us with other rights
    this._shell.showState(this._live);
  }

  _lockOut() {
    this._me = null;
    this._unmount();
    this._main.hidden = true;
    this._shell.showSignedOut();
    this._login.show();
  }

  _signedIn() {
    this._login.hide();
    this._main.hidden = false;
    this._mastersAreGuessed = false;
    this._findMasters().then(() => {
      this._follow(this._masterKey ?? "0");
      this._remount();
    });
  }

  _tick() {
    if (!this._api || document.hidden) return;
    tickTimes(document, this._api.clock.now());
    this._shell.showState(this._live);
  }
}

new App().start();
