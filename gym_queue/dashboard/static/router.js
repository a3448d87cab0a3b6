// Views by the query of the address: `?view=workers&q=gpu&sort=-used`. The address holds the filter.

/** Knows the view and its parameters, and keeps both in the address. */
export class Router {
  /**
   * @param {string[]} views The names that exist; the first is shown for an unknown one.
   * @param {(view: string, params: Object<string, string>, how: "load"|"link"|"back") => void} onRoute
   */
  constructor(views, onRoute) {
    this._views = views;
    this._onRoute = onRoute;
    this._read();
  }

  /** Shows what the address names, and follows links and the browser's way back from now on. */
  start() {
    addEventListener("popstate", () => this._go("back"));
    document.addEventListener("click", (event) => this._link(event));
    this._go("load");
  }

  /**
   * The address of a view on the same page.
   * @param {string} view
   * @param {Object<string, string|number|null>} [params] Empty ones are left out.
   * @returns {string}
   */
  href(view, params = {}) {
    const query = new URLSearchParams({ view });
    if (this.master) query.set("master", this.master);
    for (const [name, value] of Object.entries(params)) if (present(value)) query.set(name, String(value));
    return `?${query}`;
  }

  /**
   * Goes to a view.
   * @param {string} view
   * @param {Object<string, string|number|null>} [params]
   */
  navigate(view, params = {}) {
    this._push(this.href(view, params));
  }

  /**
   * Changes parameters of the view that is shown, without showing it anew.
   * @param {Object<string, string|number|null>} changes Null or an empty text takes one away.
   */
  setParams(changes) {
    const params = { ...this.params, ...changes };
    this.params = Object.fromEntries(
      Object.entries(params).filter(([, value]) => present(value)).map(([name, value]) => [name, String(value)]),
    );
    history.replaceState(null, "", this.href(this.view, this.params));
  }

  /** Goes to another master, on the same view without its filter. */
  setMaster(master) {
    this.master = master === "0" ? "" : master;
    this._push(this.href(this.view));
  }

  _push(href) {
    history.pushState(null, "", href);
    this._go("link");
  }

  _go(how) {
    this._read();
    this._onRoute(this.view, this.params, how);
  }

  _read() {
    const { view, master, login: _login, ...params } = Object.fromEntries(new URLSearchParams(location.search));
    this.view = this._views.includes(view) ? view : this._views[0];
    this.master = /^\d+$/.test(master ?? "") ? master : "";
    this.params = params;
  }

  _link(event) {
    const link = event.target.closest?.("a[href^='?']");
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    if (link.target || link.hasAttribute("download")) return;
    event.preventDefault();
    document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
    this._push(link.getAttribute("href"));
  }
}

function present(value) {
  return value !== null && value !== undefined && value !== "";
}
