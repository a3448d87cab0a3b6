// What a step's actions mean: words for lists and captions, marks for the frame. Actions come from trajectories,
// to which callers add events of their own, so nothing about their shape is taken for granted.

const CLICKS = {
  left_click: ["left", 1],
  right_click: ["right", 1],
  double_click: ["left", 2],
  triple_click: ["left", 3],
  middle_click: ["middle", 1],
};
const DRAGS = { left_click_drag: "left", right_click_drag: "right" };
const TIMES = ["", "", "double ", "triple "];
const MAX_WORDS = 120;

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isPoint = (value) => Array.isArray(value) && value.length === 2 && value.every(Number.isFinite);
const isDrag = (value) => Array.isArray(value) && value.length === 2 && value.every(isPoint);

/** The actions of one trajectory event, as a list. */
export function actionsOf(event) {
  const actions = event?.action ?? event?.actions;
  if (Array.isArray(actions)) return actions.filter(isObject);
  return isObject(actions) ? [actions] : [];
}

/** What to draw for a step's actions, in order: clicks, drags, moves, scrolls, and captions for the rest.
 *  pointer is where the mouse was before; the reply's pointer is where it is after. */
export function marksOf(actions, pointer = null) {
  const marks = [];
  let at = pointer;
  for (const action of actions) {
    const mouse = isObject(action.mouse) ? action.mouse : {};
    for (const mark of mouseMarks(mouse, at)) {
      marks.push(mark);
      at = mark.to ?? mark.at ?? at;
    }
    const words = isObject(action.mouse) ? describe({ ...action, mouse: undefined }) : describe(action);
    if (words && hasMore(action)) marks.push({ kind: "caption", text: words });
  }
  return { marks, pointer: at };
}

const hasMore = (action) => ["keyboard", "voice", "api_call", "action"].some((key) => action[key] != null);

function* mouseMarks(mouse, pointer) {
  let at = pointer;
  if (isPoint(mouse.move)) yield { kind: "move", at: (at = mouse.move) };
  for (const [key, [button, count]] of Object.entries(CLICKS)) {
    if (isPoint(mouse[key])) yield { kind: "click", at: (at = mouse[key]), button, count };
  }
  for (const [key, button] of Object.entries(DRAGS)) {
    if (isDrag(mouse[key])) yield { kind: "drag", at: mouse[key][0], to: (at = mouse[key][1]), button };
  }
  if (isObject(mouse.buttons)) yield { kind: "buttons", at, text: pressed(mouse.buttons) };
  if (Number.isFinite(mouse.scroll)) yield { kind: "scroll", at, amount: mouse.scroll };
}

const pressed = (buttons) =>
  Object.keys(buttons)
    .filter((name) => buttons[name] === true)
    .map((name) => name.replace("_", " "))
    .join(", ");

/** A step's actions in a line of words. */
export function describeAll(actions) {
  return actions.length ? actions.map((action) => describe(action) || "nothing").join(" · ") : "no action";
}

/** One action in words; empty when it does nothing. */
function describe(action) {
  const parts = [
    ...describeMouse(isObject(action.mouse) ? action.mouse : {}),
    ...describeKeyboard(isObject(action.keyboard) ? action.keyboard : {}),
    ...describeRest(action),
  ];
  return parts.join(", ");
}

function* describeMouse(mouse) {
  if (isPoint(mouse.move)) yield `move to ${mouse.move.join(", ")}`;
  for (const [key, [button, count]] of Object.entries(CLICKS)) {
    if (isPoint(mouse[key])) yield `${TIMES[count]}${count > 1 ? "" : `${button} `}click at ${mouse[key].join(", ")}`;
  }
  for (const [key, button] of Object.entries(DRAGS)) {
    if (isDrag(mouse[key])) yield `${button} drag ${mouse[key].map((point) => point.join(", ")).join(" → ")}`;
  }
  if (isObject(mouse.buttons)) yield `button ${pressed(mouse.buttons) || "unchanged"}`;
  if (Number.isFinite(mouse.scroll)) yield `scroll ${mouse.scroll < 0 ? "up" : "down"} ${Math.abs(mouse.scroll)}`;
}

function* describeKeyboard(keyboard) {
  if (typeof keyboard.text === "string") yield `type ${cut(JSON.stringify(keyboard.text))}`;
  if (keyboard.keys != null) yield `press ${cut([keyboard.keys].flat().join("+"))}`;
}

function* describeRest(action) {
  if (isObject(action.voice)) yield "speak";
  if (isObject(action.api_call)) yield `call ${cut(String(action.api_call.name))}`;
  if (action.action === "wait") yield `wait ${action.time ?? action.seconds ?? 1} s`;
  else if (action.action != null) yield cut(String(action.action));
}

/** A text that may be long, cut to what fits a line. */
function cut(text, most = MAX_WORDS) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
