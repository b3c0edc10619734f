"""Pads to drag points on and to draw a digit on, by pointer or by keyboard.

Both are widgets with a `value`, so a `Playground` takes them as controls. They need anywidget;
without it they say so and offer a choice of ready examples instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets
from numpy.typing import ArrayLike, NDArray

from dlcourse.plots import COLOURS

try:
    from anywidget import AnyWidget
except ImportError:
    AnyWidget = None


STYLE = """
.dlcourse-pad { display: inline-flex; flex-direction: column; gap: 6px; padding: 4px;
  align-items: flex-start;
  color: var(--jp-content-font-color1, #222); font-size: 13px; line-height: 1.4; }
.dlcourse-pad .plane, .dlcourse-pad canvas { background: white; touch-action: none;
  border: 1px solid #888; border-radius: 3px; }
.dlcourse-pad :focus-visible { outline: 3px solid #0072B2; outline-offset: 2px; }
.dlcourse-pad .axes { stroke: #bbb; } .dlcourse-pad text { fill: #555; font-size: 12px; }
.dlcourse-pad .mark { stroke: white; stroke-width: 1; }
.dlcourse-pad .plane .mark { cursor: grab; }
.dlcourse-pad .key { display: flex; gap: 6px; } .dlcourse-pad .key svg { width: 18px; }
.dlcourse-pad small { font-size: 12px; max-width: 330px; }
"""


class _Choice(widgets.VBox):
    """Stands in for a pad where anywidget is missing: a sentence, and a choice of examples."""

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        sentence = widgets.HTML(
            "This pad needs the package anywidget (<code>pip install anywidget</code>). "
            "Until then, choose one of these:"
        )
        choice = widgets.Dropdown(options=list(self.examples), description=self.label)
        choice.observe(lambda change: self.choose(change.new), names="value")
        self.children = [sentence, choice]


class _Pad(_Choice if AnyWidget is None else AnyWidget):
    """What both pads share: named examples, of which the first is shown first."""

    label = traitlets.Unicode("").tag(sync=True)
    examples: dict[str, Any]

    def choose(self, name: str) -> None:
        """Show an example.

        Parameters
        ----------
        name : str
            One of the names in `examples`.
        """
        raise NotImplementedError


class PointPad(_Pad):
    """A square of the plane with points to drag.

    By pointer: drag a point; double-click an empty place to add one, a point to change its class.
    By keyboard: Tab goes to a point, the arrow keys move it (with Shift in large steps), Space
    changes its class, Insert adds one, Delete removes it.

    Parameters
    ----------
    examples : mapping of str to array (N, 3), or array (N, 3)
        Points [x, y, class], by name.
    names : sequence of str
        The classes' names.
    limit : float
        The square goes from -limit to limit in x and y.
    label : str
        The pad's label.

    Attributes
    ----------
    value : list of [float, float, int]
        The points now.
    """

    value = traitlets.List().tag(sync=True)
    names = traitlets.List().tag(sync=True)
    limit = traitlets.Float(1.0).tag(sync=True)
    colours = traitlets.List(list(COLOURS[:4])).tag(sync=True)

    def __init__(
        self,
        examples: Mapping[str, ArrayLike] | ArrayLike,
        names: Sequence[str] = ("class 0", "class 1"),
        limit: float = 1.0,
        label: str = "points",
    ) -> None:
        self.examples = dict(examples) if isinstance(examples, Mapping) else {"points": examples}
        if not 1 <= len(names) <= 4:
            raise ValueError(
                f"PointPad got {len(names)} names; it has room for one to four classes"
            )
        super().__init__(names=list(names), limit=limit, label=label)
        self.choose(next(iter(self.examples)))

    def choose(self, name: str) -> None:
        """Show an example.

        Parameters
        ----------
        name : str
            One of the names in `examples`.
        """
        points = np.asarray(self.examples[name], dtype=float)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(
                f"PointPad got {name!r} of shape {points.shape}; it needs rows of [x, y, class]: "
                "np.column_stack([x, y])"
            )
        if not np.isin(points[:, 2], range(len(self.names))).all():
            raise ValueError(
                f"PointPad got {name!r} with a class not in 0 to {len(self.names) - 1}"
            )
        self.value = [[x, y, int(k)] for x, y, k in points.tolist()]

    _css = STYLE
    _esm = """
const SIZE = 320, EDGE = 12;
const SHAPES = ["M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0", "M-5.5,-5.5h11v11h-11z", "M0,-8l7,13h-14z",
  "M0,-8l7,8l-7,8l-7,-8z"];  // circle, square, triangle, diamond
export default { render({ model, el }) {
  const [limit, names, colours] = ["limit", "names", "colours"].map((key) => model.get(key));
  const middle = SIZE / 2, unit = (middle - EDGE) / limit;
  const clip = (v) => Math.round(Math.max(-limit, Math.min(limit, v)) * 1000) / 1000;
  const mark = (k, more) => `<path class="mark" d="${SHAPES[k]}" fill="${colours[k]}" ${more}/>`;
  const keys = `tabindex="0" data-lm-suppress-shortcuts="true"`;  // or JupyterLab takes them
  const key = names.map((name, k) => `<svg viewBox="-9 -9 18 18">${mark(k, "")}</svg>${name}`);
  el.innerHTML = `<div class="dlcourse-pad"><b>${model.get("label")}</b><svg class="plane"
    role="group" ${keys} aria-label="${model.get("label")}" width="${SIZE}" height="${SIZE}">
    </svg><div class="key">${key.join("")}</div><small>Drag a point; double-click adds one or
    changes its class.<br>Keys: Tab, arrows; Space: class; Insert; Delete.</small></div>`;
  const svg = el.querySelector(".plane");
  const points = () => model.get("value").map((p) => [...p]);  // copies, or nothing has changed
  const put = (all, focus) => { model.set("value", all); model.save_changes(); draw(focus); };
  const edit = (i, change) => { const all = points(); change(all[i]); put(all, i); };
  const move = (i, x, y) => edit(i, (p) => { p[0] = clip(x); p[1] = clip(y); });
  const turn = (i) => edit(i, (p) => { p[2] = (p[2] + 1) % names.length; });
  const add = (x, y) => put([...points(), [clip(x), clip(y), 0]], points().length);
  const draw = (focus = svg.querySelector(":focus")?.dataset.i) => {
    svg.innerHTML = `<path class="axes" d="M0,${middle}H${SIZE}M${middle},0V${SIZE}"/>
      <text x="${SIZE - 4}" y="${middle + 16}" text-anchor="end">${limit}</text>
      <text x="4" y="${middle + 16}">${-limit}</text>` + points().map(([x, y, k], i) => mark(k,
      `transform="translate(${middle + x * unit},${middle - y * unit})" ${keys} role="button"
      data-i="${i}"`)).join("");
    svg.querySelectorAll(".mark").forEach((node, i) => {
      const [x, y, k] = points()[i];
      node.setAttribute("aria-label", `point ${i + 1}, ${names[k]}, at ${x}, ${y}`);
      if (String(i) === String(focus)) node.focus({ preventScroll: true });
    });
    if (focus !== undefined && !points().length) svg.focus({ preventScroll: true });
  };
  const place = ({ clientX, clientY }, box = svg.getBoundingClientRect()) =>
    [(clientX - box.x - middle) / unit, (box.y + middle - clientY) / unit];
  let held;  // the point that the pointer drags
  svg.onpointerdown = (event) => {
    held = event.target.dataset.i;
    if (held) svg.setPointerCapture(event.pointerId);
  };
  svg.onpointermove = (event) => { if (held && event.buttons) move(held, ...place(event)); };
  svg.ondblclick = (event) => {
    const [x, y] = place(event);
    const i = points().findIndex((p) => Math.hypot(p[0] - x, p[1] - y) * unit < 10);
    if (i < 0) add(x, y); else turn(i);
  };
  svg.onkeydown = (event) => {
    const i = event.target.dataset.i, by = limit / (event.shiftKey ? 5 : 40);
    const [x, y] = points()[i] ?? [-limit / 10, 0];
    const act = { ArrowLeft: () => move(i, x - by, y), ArrowRight: () => move(i, x + by, y),
      ArrowUp: () => move(i, x, y + by), ArrowDown: () => move(i, x, y - by),
      " ": () => turn(i), Insert: () => add(x + limit / 10, y),
      Delete: () => put(points().filter((_, j) => j != i), Math.max(0, i - 1)) }[event.key];
    if (act && (i || event.key === "Insert")) { event.preventDefault(); act(); }
  };
  model.on("change:value", () => draw());
  draw();
} };
"""


class DigitPad(_Pad):
    """A pad of 28 by 28 pixels to draw a digit on, white on black as in MNIST.

    By pointer: draw. By keyboard: the arrow keys move the pen, Space lowers and lifts it, Delete
    clears the pad.

    Parameters
    ----------
    examples : mapping of str to array (28, 28), optional
        Ready drawings from 0 to 1, by name; the first is shown first.
    label : str
        The pad's label.

    Attributes
    ----------
    value : array (28, 28), float32
        The drawing, from 0 to 1. A new array at each change.
    """

    value = traitlets.Any()
    pixels = traitlets.Any(bytes(28 * 28)).tag(sync=True)  # bytes go, a memoryview comes

    def __init__(
        self, examples: Mapping[str, ArrayLike] | None = None, label: str = "draw a digit"
    ) -> None:
        self.examples = dict(examples or {"nothing": np.zeros((28, 28))})
        super().__init__(label=label)
        self.choose(next(iter(self.examples)))

    def choose(self, name: str) -> None:
        """Show an example.

        Parameters
        ----------
        name : str
            One of the names in `examples`.
        """
        drawing = np.asarray(self.examples[name], dtype=float)
        if drawing.shape != (28, 28):
            raise ValueError(f"DigitPad got {name!r} of shape {drawing.shape}; it needs (28, 28)")
        self.pixels = (drawing.clip(0, 1) * 255).round().astype(np.uint8).tobytes()

    @traitlets.default("value")
    def _blank(self) -> NDArray:
        return np.zeros((28, 28), np.float32)

    @traitlets.observe("pixels")
    def _read(self, change: Any) -> None:
        drawing = np.frombuffer(change.new, np.uint8).astype(np.float32).reshape(28, 28)
        self.value = drawing / 255

    _css = STYLE
    _esm = """
const SIDE = 28, SCALE = 10, SIZE = 280, HELP = `Draw with the pointer, or with the keys: arrows
  move the pen, Space lowers or lifts it, Delete clears.`;
export default { render({ model, el }) {
  el.innerHTML = `<div class="dlcourse-pad"><b>${model.get("label")}</b><canvas tabindex="0"
    data-lm-suppress-shortcuts="true" role="application" width="${SIZE}" height="${SIZE}"
    aria-label="${HELP}"></canvas><span role="status"></span><button
    class="jupyter-widgets jupyter-button">Clear</button><small>${HELP}</small></div>`;
  const canvas = el.querySelector("canvas"), ink = canvas.getContext("2d");
  const pen = { x: 13.5, y: 6.5, down: false };
  const read = (view = model.get("pixels")) =>
    new Uint8Array(view.buffer, view.byteOffset, SIDE * SIDE).slice();
  const put = (data) => { model.set("pixels", new DataView(data.buffer)); model.save_changes(); };
  const draw = () => {
    const row = Math.ceil(pen.y), column = Math.ceil(pen.x), state = pen.down ? "down" : "up";
    el.querySelector("[role=status]").textContent = `pen ${state}, row ${row}, column ${column}`;
    read().forEach((v, i) => {
      ink.fillStyle = `rgb(${v},${v},${v})`;
      ink.fillRect((i % SIDE) * SCALE, Math.floor(i / SIDE) * SCALE, SCALE, SCALE);
    });
    ink.strokeStyle = pen.down ? "#E69F00" : "#56B4E9";  // the pen, for those who use the keys
    ink.strokeRect((column - 1) * SCALE, (row - 1) * SCALE, SCALE, SCALE);
  };
  const stroke = (x, y) => {  // from the pen to (x, y); a soft tip, about two pixels wide
    const data = read(), steps = Math.ceil(2 * Math.hypot(x - pen.x, y - pen.y)) || 1;
    for (let s = 0; pen.down && s <= steps; s++) {
      const [tipX, tipY] = [[pen.x, x], [pen.y, y]].map(([a, b]) => a + (b - a) * s / steps);
      data.forEach((v, i) => {
        const gap = Math.hypot((i % SIDE) + 0.5 - tipX, Math.floor(i / SIDE) + 0.5 - tipY);
        data[i] = Math.max(v, 255 * Math.max(0, Math.min(1, 1.9 - gap)));
      });
    }
    Object.assign(pen, { x, y });
    if (pen.down) put(data);
    draw();
  };
  const clear = () => put(new Uint8Array(SIDE * SIDE));
  canvas.onpointerdown = (event) => {
    if (event.button || !event.isPrimary) return;
    canvas.setPointerCapture(event.pointerId);
    Object.assign(pen, { x: event.offsetX / SCALE, y: event.offsetY / SCALE, down: true });
    stroke(pen.x, pen.y);
  };
  canvas.onpointermove = ({ buttons, isPrimary, offsetX, offsetY }) =>
    buttons && isPrimary && stroke(offsetX / SCALE, offsetY / SCALE);
  canvas.onpointerup = canvas.onpointercancel = () => { pen.down = false; draw(); };
  canvas.onkeydown = (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
      " ": [0, 0], Delete: [0, 0] }[event.key];
    if (!by) return;
    event.preventDefault();
    if (event.key === "Delete") clear();
    if (event.key === " ") pen.down = !pen.down;
    const next = (v, d) => Math.max(0, Math.min(SIDE - 1, Math.floor(v) + d)) + 0.5;
    stroke(next(pen.x, by[0]), next(pen.y, by[1]));
  };
  el.querySelector("button").onclick = clear;
  model.on("change:pixels", draw);
  draw();
} };
"""
