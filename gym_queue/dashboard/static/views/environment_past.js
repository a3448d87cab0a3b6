// Where an environment that has ended goes on: its episodes, to be replayed.

import { isAborted } from "../api.js";
import { fill, h } from "../dom.js";
import { episodeBadge, episodeParams } from "../media_episodes.js";

const TRIES = 5;
const AGAIN_MS = 1500;

/**
 * Fills an element with links to an environment's episodes; its worker lists them a moment after its end.
 * @param {Object} ctx The view's context.
 * @param {string} envId
 * @param {Element} element
 * @param {AbortSignal} signal
 */
export async function episodeLinks(ctx, envId, element, signal) {
  fill(element, "Looking for its episodes…");
  let away = [];
  try {
    for (let tried = 0; tried < TRIES && !signal.aborted; tried += 1) {
      const { rows, unreachable } = await ctx.api.get("api/episodes", { env: envId, limit: 20 }, { signal });
      if (rows.length)
        return fill(
          element,
          h("p", {}, "Its episodes: "),
          h(
            "ul",
            {},
            rows.map((row) => h("li", {}, linkTo(ctx, row))),
          ),
        );
      away = unreachable ?? [];
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
    fill(
      element,
      away.length
        ? `No episode of it is listed; ${away.join(", ")} did not answer, and may have some.`
        : "No episode of it is listed.",
    );
  } catch (error) {
    if (!isAborted(error)) fill(element, `Its episodes are not known: ${error.message}`);
  }
}

function linkTo(ctx, row) {
  const words = `${row.episode}: ${row.steps} ${row.steps === 1 ? "step" : "steps"}`;
  return [h("a", { href: ctx.href("episode", episodeParams(row)) }, words), " ", episodeBadge(row)];
}
