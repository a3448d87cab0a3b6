// The clock of a replay: where it is, whether it goes on, and how fast.

const STEP_MS = 1000;

/** Goes from position to position; position k is before step k, the last one is after all of them. */
export class Player {
  /**
   * @param {number[]} times When each position began, in unix seconds; as many as there are positions.
   * @param {{onMove: (position: number) => Promise<void>, onPlaying: (isPlaying: boolean) => void}} hooks `onMove` is
   *   waited for: a replay never runs ahead of its frames.
   */
  constructor(times, { onMove, onPlaying }) {
    Object.assign(this, { _times: times, _onMove: onMove, _onPlaying: onPlaying, _turn: 0, _timer: 0 });
    this.position = 0;
    this.isPlaying = false;
    /** Times as fast. */
    this.speed = 1;
    /** Whether it waits as long as it took, or a second for each step. */
    this.isReal = false;
  }

  /** The last position. */
  get last() {
    return this._times.length - 1;
  }

  /** Goes to a position, and goes on from there when it plays. */
  go(position) {
    const turn = (this._turn += 1);
    clearTimeout(this._timer);
    this.position = Math.min(this.last, Math.max(0, position));
    const shown = this._onMove(this.position);
    if (this.isPlaying) this._goOn(turn, shown);
  }

  /** Begins or ends playing; from the start again when it is at its end. */
  toggle() {
    if (this.isPlaying) return this.pause();
    this._setPlaying(true);
    this.go(this.position >= this.last ? 0 : this.position);
  }

  /** Ends playing. */
  pause() {
    this._turn += 1;
    clearTimeout(this._timer);
    this._setPlaying(false);
  }

  /** Takes another pace from the step that is shown on. */
  setPace({ speed = this.speed, isReal = this.isReal }) {
    Object.assign(this, { speed, isReal });
    if (this.isPlaying) this.go(this.position);
  }

  async _goOn(turn, shown) {
    const began = performance.now();
    await shown;
    if (turn !== this._turn) return;
    if (this.position >= this.last) return this.pause();
    const wait_ms = Math.max(0, this._wait() - (performance.now() - began));
    this._timer = setTimeout(() => this.go(this.position + 1), wait_ms);
  }

  _wait() {
    const took_ms = (this._times[this.position + 1] - this._times[this.position]) * 1000;
    return (this.isReal && Number.isFinite(took_ms) ? Math.max(0, took_ms) : STEP_MS) / this.speed;
  }

  _setPlaying(isPlaying) {
    if (isPlaying === this.isPlaying) return;
    this.isPlaying = isPlaying;
    this._onPlaying(isPlaying);
  }
}

/**
 * The frame to show at a position.
 * @param {number[]} frames Those that are kept, ascending; frame k is what was seen before step k.
 * @param {number} wanted
 * @returns {{index: number, isExact: boolean}|null} The nearest one before when it is not kept; null when none is.
 */
export function frameAt(frames, wanted) {
  if (frames.length === 0) return null;
  const index = frames.findLast((frame) => frame <= wanted) ?? frames[0];
  return { index, isExact: index === wanted };
}
