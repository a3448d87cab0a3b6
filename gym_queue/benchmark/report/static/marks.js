// What an agent did, drawn over what it saw: light on dark strokes, so that they show on any background, with words.
const COLOURS = { left: "#ffb000", right: "#ff5ca8", middle: "#4cc9f0", none: "#ffffff" };
const CLICKS = {
  left_click: ["left", 1],
  right_click: ["right", 1],
  double_click: ["left", 2],
  triple_click: ["left", 3],
  middle_click: ["middle", 1],
};
const isPoint = (value) => Array.isArray(value) && value.length === 2 && value.every(Number.isFinite);

/** Returns an SVG to lie over a frame. size: [width, height] of the screen; scale: screen pixels to one of the page. */
function drawMarks(actions, [width, height], scale) {
  const pen = { scale, width, height, at: [width / 2, height / 2] };
  const marks = actions.flatMap((action) => marksOf(action ?? {}, pen));
  const captions = actions.map(captionOf).filter(Boolean).slice(-4);
  const lines = captions.map((text, index) => caption(pen, text, captions.length - index));
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, marks, lines);
}

function marksOf({ mouse }, pen) {
  const marks = [];
  if (isPoint(mouse?.move)) {
    pen.at = mouse.move;
    marks.push(ring(pen, pen.at, 4, COLOURS.none), label(pen, "move"));
  }
  for (const [name, [button, count]] of Object.entries(CLICKS)) {
    if (!isPoint(mouse?.[name])) continue;
    pen.at = mouse[name];
    for (let index = 0; index < count; index += 1) marks.push(ring(pen, pen.at, 11 + 7 * index, COLOURS[button]));
    marks.push(ring(pen, pen.at, 1.5, COLOURS[button]), label(pen, name.replaceAll("_", " ")));
  }
  for (const button of ["left", "right"]) {
    const [from, to] = mouse?.[`${button}_click_drag`] ?? [];
    if (!isPoint(from) || !isPoint(to)) continue;
    pen.at = to;
    marks.push(ring(pen, from, 6, COLOURS[button]), arrow(pen, from, to, COLOURS[button]), label(pen, `${button} drag`));
  }
  if (Number.isFinite(mouse?.scroll)) {
    const [x, y] = pen.at;
    const reach = 20 * pen.scale * (Math.sign(mouse.scroll) || 1);
    marks.push(arrow(pen, [x, y - reach], [x, y + reach], COLOURS.middle));
    marks.push(label(pen, `scroll ${mouse.scroll < 0 ? "up" : "down"} ${Math.abs(mouse.scroll)}`));
  }
  return marks;
}

function stroked(pen, tag, props, colour) {
  return [["rgb(0 0 0 / 75%)", 5], [colour, 2.5]].map(([stroke, width]) =>
    svg(tag, { ...props, stroke, "stroke-width": width * pen.scale, fill: "none", "stroke-linecap": "round" }),
  );
}

const ring = (pen, [x, y], radius, colour) => stroked(pen, "circle", { cx: x, cy: y, r: radius * pen.scale }, colour);

function arrow(pen, [x1, y1], [x2, y2], colour) {
  const turn = Math.atan2(y2 - y1, x2 - x1);
  const head = [-0.5, 0.5].map((side) => {
    const [x, y] = [x2 - 12 * pen.scale * Math.cos(turn + side), y2 - 12 * pen.scale * Math.sin(turn + side)];
    return `M${x2} ${y2}L${x} ${y}`;
  });
  return stroked(pen, "path", { d: `M${x1} ${y1}L${x2} ${y2}${head.join("")}` }, colour);
}

function label(pen, text) {
  const [x, y] = pen.at;
  const wide = plateWidth(pen, text);
  const left = x + 22 * pen.scale + wide > pen.width ? x - 22 * pen.scale - wide : x + 22 * pen.scale;
  return plate(pen, text, Math.max(0, left), Math.min(Math.max(0, y - 10 * pen.scale), pen.height - 20 * pen.scale));
}

function caption(pen, text, fromBottom) {
  const most = Math.floor((pen.width / pen.scale - 24) / 8);
  const shown = text.length > most ? `${text.slice(0, Math.max(most - 1, 1))}…` : text;
  return plate(pen, shown, (pen.width - plateWidth(pen, shown)) / 2, pen.height - 28 * pen.scale * fromBottom);
}

const plateWidth = (pen, text) => (text.length * 7.9 + 12) * pen.scale;

function plate(pen, text, left, top) {
  const box = { x: left, y: top, width: plateWidth(pen, text), height: 20 * pen.scale, rx: 4 * pen.scale };
  const place = { x: left + 6 * pen.scale, y: top + 14.5 * pen.scale, "font-size": 13 * pen.scale };
  return [
    svg("rect", { ...box, fill: "rgb(0 0 0 / 82%)" }),
    svg("text", { ...place, fill: "#ffffff", "font-family": "monospace", "xml:space": "preserve" }, text),
  ];
}

function captionOf(action) {
  const { keyboard, mouse } = action ?? {};
  const parts = [];
  if (typeof keyboard?.text === "string") parts.push(`type ${JSON.stringify(keyboard.text)}`);
  if (keyboard?.keys) parts.push(`press ${[keyboard.keys].flat().join(" + ")}`);
  if (mouse?.buttons) parts.push(Object.keys(mouse.buttons).filter((name) => mouse.buttons[name]).join(", "));
  if (action?.action) parts.push(action.action === "wait" ? `wait ${action.time ?? action.seconds ?? 1} s` : action.action);
  if (action?.api_call) parts.push(`call ${action.api_call.name}`);
  if (action?.voice) parts.push("speak");
  return parts.join(" · ");
}

/** Returns an action in words. */
function wordsOf(action) {
  const mouse = Object.entries(action?.mouse ?? {}).filter(([name, value]) => name !== "buttons" && value !== null);
  const moves = mouse.map(([name, value]) => `${name.replaceAll("_", " ")} ${JSON.stringify(value)}`);
  return [...moves, captionOf(action)].filter(Boolean).join(" · ") || JSON.stringify(action);
}
