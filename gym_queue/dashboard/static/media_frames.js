// An episode's frames, decoded ahead of the replay, and never more of them than memory has room for.

const AHEAD = 6;
const MOST_BYTES = 192_000_000;
const BYTES_PER_PIXEL = 4;

/** Fetches and keeps frames by their index. */
export class FrameCache {
  /** @param {(index: number, signal: AbortSignal) => Promise<Blob>} fetchFrame */
  constructor(fetchFrame) {
    this._fetch = fetchFrame;
    this._kept = new Map();
    this._abort = new AbortController();
  }

  /**
   * A frame, which the cache closes.
   * @param {number} index
   * @returns {Promise<ImageBitmap>}
   * @throws {Error} The frame cannot be had; it is asked for anew the next time.
   */
  get(index) {
    const known = this._kept.get(index);
    if (known) {
      this._kept.delete(index); // the last used stands last
      this._kept.set(index, known);
      return known.promise;
    }
    const entry = { bytes: 0, promise: this._load(index) };
    this._kept.set(index, entry);
    entry.promise.then(
      (bitmap) => {
        entry.bytes = bitmap.width * bitmap.height * BYTES_PER_PIXEL;
        this._shrink(index);
      },
      () => this._kept.delete(index),
    );
    return entry.promise;
  }

  /** Fetches the frames that come next. */
  ahead(indices) {
    for (const index of indices.slice(0, AHEAD)) this.get(index).catch(() => {}); // said when it is its turn
  }

  /** Ends it. */
  destroy() {
    this._abort.abort();
    for (const index of [...this._kept.keys()]) this._drop(index);
  }

  async _load(index) {
    const { signal } = this._abort;
    const bitmap = await createImageBitmap(await this._fetch(index, signal));
    if (!signal.aborted) return bitmap;
    bitmap.close();
    throw new DOMException("the replay was left", "AbortError");
  }

  _shrink(current) {
    const sum = () => [...this._kept.values()].reduce((all, entry) => all + entry.bytes, 0);
    for (const [index, entry] of this._kept) {
      if (sum() <= MOST_BYTES) return;
      if (entry.bytes && index !== current && this._kept.size > AHEAD + 2) this._drop(index);
    }
  }

  _drop(index) {
    const entry = this._kept.get(index);
    this._kept.delete(index);
    entry.promise.then(
      (bitmap) => bitmap.close(),
      () => {},
    );
  }
}
