// Draws a step's marks over a frame: strokes of one size whatever the frame's scale, each light on dark so that it
// shows on any background, and each with words, for colour is never the only sign.

const COLOURS = { left: "#ffb000", right: "#ff5ca8", middle: "#4cc9f0", none: "#ffffff" };
const FONT = "600 13px system-ui, sans-serif";
const RING_PX = 11;
const RING_GAP_PX = 7;
const MAX_CAPTIONS = 4;

/** Draw marks onto a canvas that lies over a frame.
 *  canvas: as large as the frame is shown; marks: as marksOf gives them, in screen pixels;
 *  screen: [width, height] of the screen that the marks' points are of. */
export function drawMarks(canvas, marks, screen) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  if (!width || !height) return;
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.font = FONT;
  const place = ([x, y]) => [(x / screen[0]) * width, (y / screen[1]) * height];
  for (const mark of marks) DRAW[mark.kind]?.(pen, mark, place, [width, height]);
  drawCaptions(pen, captionsOf(marks), [width, height]);
}

const DRAW = {
  move: (pen, mark, place, size) => {
    const [x, y] = place(mark.at);
    stroke(pen, COLOURS.none, () => cross(pen, x, y, 7));
    label(pen, "move", [x, y], size);
  },
  click: (pen, mark, place, size) => {
    const [x, y] = place(mark.at);
    for (let ring = 0; ring < mark.count; ring += 1) {
      stroke(pen, COLOURS[mark.button], () => circle(pen, x, y, RING_PX + RING_GAP_PX * ring));
    }
    stroke(pen, COLOURS[mark.button], () => circle(pen, x, y, 1.5));
    label(pen, mark.count > 1 ? `${mark.button} ×${mark.count}` : mark.button, [x, y], size);
  },
  drag: (pen, mark, place, size) => {
    const [from, to] = [place(mark.at), place(mark.to)];
    stroke(pen, COLOURS[mark.button], () => circle(pen, ...from, 6));
    stroke(pen, COLOURS[mark.button], () => arrow(pen, from, to));
    label(pen, `${mark.button} drag`, to, size);
  },
  scroll: (pen, mark, place, size) => {
    const [x, y] = mark.at ? place(mark.at) : [size[0] / 2, size[1] / 2];
    const way = Math.sign(mark.amount) || 1;
    stroke(pen, COLOURS.middle, () => arrow(pen, [x, y - 20 * way], [x, y + 20 * way]));
    label(pen, `scroll ${mark.amount < 0 ? "up" : "down"} ${Math.abs(mark.amount)}`, [x, y], size);
  },
};

function captionsOf(marks) {
  const texts = marks.map((mark) =>
    mark.kind === "buttons" ? `button ${mark.text}` : mark.kind === "caption" && mark.text,
  );
  return texts.filter(Boolean).slice(-MAX_CAPTIONS);
}

function stroke(pen, colour, trace) {
  for (const [style, width] of [
    ["rgba(0, 0, 0, .75)", 5],
    [colour, 2.5],
  ]) {
    pen.strokeStyle = style;
    pen.lineWidth = width;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    trace();
    pen.stroke();
  }
}

function circle(pen, x, y, radius) {
  pen.moveTo(x + radius, y);
  pen.arc(x, y, radius, 0, 2 * Math.PI);
}

function cross(pen, x, y, arm) {
  pen.moveTo(x - arm, y);
  pen.lineTo(x + arm, y);
  pen.moveTo(x, y - arm);
  pen.lineTo(x, y + arm);
}

function arrow(pen, [x1, y1], [x2, y2]) {
  const turn = Math.atan2(y2 - y1, x2 - x1);
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  for (const side of [-0.5, 0.5]) {
    pen.moveTo(x2, y2);
    pen.lineTo(x2 - 12 * Math.cos(turn + side), y2 - 12 * Math.sin(turn + side));
  }
}

function label(pen, text, [x, y], [width, height]) {
  const wide = pen.measureText(text).width + 10;
  const left = x + 22 + wide > width ? x - 22 - wide : x + 22;
  plate(pen, text, Math.max(0, left), Math.min(Math.max(0, y - 10), height - 20), wide, 20);
}

function plate(pen, text, left, top, wide, high) {
  pen.fillStyle = "rgba(0, 0, 0, .8)";
  pen.beginPath();
  pen.roundRect(left, top, wide, high, 4);
  pen.fill();
  pen.fillStyle = "#ffffff";
  pen.textBaseline = "middle";
  pen.fillText(text, left + 5, top + high / 2 + 0.5);
}

function drawCaptions(pen, texts, [width, height]) {
  texts.forEach((text, at) => {
    const shown = fitting(pen, text, width - 26);
    const wide = pen.measureText(shown).width + 10;
    plate(pen, shown, (width - wide) / 2, height - 28 * (texts.length - at), wide, 22);
  });
}

function fitting(pen, text, width) {
  let shown = text;
  while (shown.length > 1 && pen.measureText(shown).width > width) shown = `${shown.slice(0, -2)}…`;
  return shown;
}
