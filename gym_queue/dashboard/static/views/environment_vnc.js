// A look at an environment's display by VNC, and acting on it where its spec lets viewers act.

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";

const MODULE = "../vendor/novnc/core/rfb.js";

/** Connects to one environment's display. Put its `element` on the page. */
export class VncPanel {
  /**
   * @param {Object} ctx The view's context.
   * @param {string} envId
   * @param {{session: Object, onClose: () => void}} options `session` as session_info tells of it.
   */
  constructor(ctx, envId, { session, onClose }) {
    Object.assign(this, { _ctx: ctx, _envId: envId, _password: session.vnc_password, _rfb: null, _turn: 0 });
    const [wide, high] = session.resolution ?? [16, 9];
    this._screen = h("div", { class: "vnc-screen", vars: { "aspect-ratio": `${wide} / ${high}` } });
    this._state = h("span", { class: "soft", role: "status" });
    this._control = h("input", { type: "checkbox", onchange: () => this.connect() });
    const close = h("button", { type: "button", onclick: () => onClose() }, "Back to the live view");
    const tools = h(
      "div",
      { class: "live-tools" },
      close,
      h("label", { class: "check" }, this._control, " control it: keys and mouse go there"),
      this._state,
    );
    /** The panel's element. */
    this.element = h("section", { class: "vnc", "aria-label": "VNC" }, tools, this._screen);
  }

  /** Connects, to look or to act as is chosen. */
  async connect() {
    const turn = (this._turn += 1);
    this._hangUp();
    fill(this._state, icon("wait"), " Connecting…");
    try {
      const [{ default: RFB }, { ticket }] = await Promise.all([import(MODULE), this._askTicket()]);
      if (turn === this._turn) this._open(RFB, ticket, turn);
    } catch (error) {
      if (turn === this._turn) fill(this._state, icon("bad"), ` No connection: ${error.message}`);
    }
  }

  /** Ends it. */
  destroy() {
    this._turn += 1;
    this._hangUp();
    this.element.remove();
  }

  _askTicket() {
    return this._ctx.api.post(`envs/${encodeURIComponent(this._envId)}/vnc_ticket`);
  }

  _open(RFB, ticket, turn) {
    const acts = this._control.checked;
    const query = { ticket, view_only: acts ? "0" : null };
    const url = new URL(this._ctx.api.url(`envs/${encodeURIComponent(this._envId)}/vnc`, query));
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const rfb = (this._rfb = new RFB(this._screen, url.href, { shared: true }));
    [rfb.viewOnly, rfb.scaleViewport, rfb.background] = [!acts, true, "transparent"];
    const on = (name, fn) => rfb.addEventListener(name, (event) => turn === this._turn && fn(event.detail));
    on("connect", () => this._opened(acts));
    on("disconnect", () => this._closed(acts));
    on("credentialsrequired", () => rfb.sendCredentials({ password: this._password ?? "" }));
    on("securityfailure", (detail) =>
      fill(this._state, icon("bad"), ` Refused: ${detail.reason ?? "no reason was given"}`),
    );
  }

  _opened(acts) {
    this._isOpen = true;
    fill(this._state, icon("ok"), acts ? " Connected: you act on it" : " Connected: you look only");
    if (acts) this._rfb.focus();
  }

  _closed(acts) {
    const wasOpen = this._isOpen;
    [this._rfb, this._isOpen] = [null, false];
    const again = h("button", { type: "button", onclick: () => this.connect() }, "Connect again");
    if (acts && !wasOpen) {
      this._control.checked = false;
      fill(
        this._state,
        icon("warn"),
        " Not allowed to act: viewers of this environment only look, unless its spec sets vnc.view_only to false. ",
        again,
      );
    } else
      fill(this._state, icon("bad"), wasOpen ? " The display hung up. " : " No connection to the display. ", again);
  }

  _hangUp() {
    this._isOpen = false;
    this._rfb?.disconnect();
    this._rfb = null;
    fill(this._screen);
  }
}
