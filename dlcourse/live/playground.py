"""A training with buttons and sliders, run in slices by the kernel's own loop, without threads."""

from __future__ import annotations

import asyncio
import contextlib
import html
import io
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display

from dlcourse.live.names import names
from dlcourse.live.view import Frame, View, check_view
from dlcourse.live.watch import Picture, Throttle

SLICE = 0.03  # seconds of training between two looks at what else the kernel has to do
PAUSE_AFTER = 300.0  # seconds without a click: the tab may be closed


class Film:
    """Frames from the first to the newest, evenly thinned out so that memory stays bounded.

    Parameters
    ----------
    limit : int
        Bytes of pictures kept.
    """

    def __init__(self, limit: int = 3_000_000) -> None:
        self.limit = limit
        self.frames: list[tuple[int, Frame]] = []
        self._gap = 1  # steps between two kept frames, at the least

    def append(self, step: int, frame: Frame) -> None:
        """Add the newest frame; a second one of the same step replaces the first."""
        self.frames.append((step, frame))
        self._thin(len(self.frames) - 3)
        while len(self.frames) > 2 and self._size() > self.limit:
            self._gap *= 2
            self._thin(0)

    def _thin(self, start: int) -> None:
        """From `start` on, drop what follows a kept frame too closely; the newest one stays."""
        kept = self.frames[: max(start, 0) + 1]
        for shot in self.frames[len(kept) : -1]:
            if shot[0] - kept[-1][0] >= self._gap:
                kept.append(shot)
        newest = self.frames[-1]
        if kept[-1][0] == newest[0]:
            kept.pop()
        self.frames = [*kept, newest]

    def _size(self) -> int:
        return sum(len(picture) for _, ((_, picture), _) in self.frames)


class Values:
    """The controls' values at this moment, by their names: `c.lr`."""

    def __init__(self, controls: dict[str, Any]) -> None:
        self._controls = controls

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._controls:
            names = ", ".join(self._controls) or "none"
            raise AttributeError(f"c.{name}: there is no such control; there are: {names}")
        return self._controls[name].value


class Playground:
    """A training that the reader plays, pauses, steps, resets, rewinds, and steers while it runs.

    As the last line of a cell it shows its first picture and its controls, and waits for a click.
    One playground plays at a time; running its cell again closes the old one.

    Parameters
    ----------
    make : callable
        `make(c)` builds everything from a seed, where `c.lr` is the value of the control `lr` at
        this moment. A generator function yields the state before any training, then one state a
        step: it gets Play, Pause, Step and Reset. A plain function returns one state: it has no
        buttons, and is called again whenever a control changes.
    view : View
        How a state looks. Its figure is built anew at each Reset.
    reset_on : sequence of str
        The controls that `make` reads only before its first yield, such as a number of units:
        changing one of them starts the training again. They are marked with ↺. The others act at
        the next step; before the first one, or where the view reads them, they show at once.
    **controls : Widget
        Sliders, drop-downs, pads: anything of ipywidgets with a `value`. One without a description
        gets its name for a label.

    Attributes
    ----------
    controls : dict of str to Widget
        The controls.
    state : object
        The newest state.
    step_count : int
        How many steps were trained since the last Reset.
    playing : bool
        Whether it trains now.
    frame : Frame
        The picture shown last.

    Examples
    --------
    >>> def make(c):
    ...     w = np.array([3.0])
    ...     yield w
    ...     for _ in range(1000):
    ...         w -= c.lr * 2 * w
    ...         yield w
    >>> Playground(make, WeightView(), lr=FloatLogSlider(0.1, min=-3, max=0))
    """

    _active: ClassVar[Playground | None] = None
    _cells: ClassVar[dict[str, tuple[str, list[Playground]]]] = {}

    def __init__(
        self,
        make: Callable[[Values], Any],
        view: View,
        *,
        reset_on: Sequence[str] = (),
        **controls: Any,
    ) -> None:
        check_view("Playground", view)
        for name, control in controls.items():
            if not hasattr(control, "value"):
                raise TypeError(
                    f"Playground got {name}={control!r}; a control is a widget with a value, "
                    f"such as {name}=FloatSlider(0.1, min=0, max=1)"
                )
        if unknown := [name for name in reset_on if name not in controls]:
            raise ValueError(f"reset_on names {unknown}, but the controls are {list(controls)}")
        self.make, self.view, self.controls, self.reset_on = make, view, controls, tuple(reset_on)
        self.playing = False
        self._outdated = False  # a control has changed: make must be called again
        self._stepping = self._interrupted = self._busy = False
        self._generator: Iterator[Any] | None = None
        self._commands: deque[Callable[[], None]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._throttle = Throttle()
        self._picture = Picture(view.title)
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:  # a plain script: commands run at once
            self._loop = None
        siblings = self._close_older()
        self._begin()  # an error here is the cell's own: nothing catches it
        self._build_panel()
        self._draw(final=True)
        self._show_status("Ready")
        siblings.append(self)  # not before: what failed above has nothing to close

    # What a click does, and a program may do

    def play(self) -> None:
        """Train until paused, finished or stopped by an error; a finished one starts again."""
        self._post(self._do_play)

    def pause(self) -> None:
        """Stop after the step that is under way."""
        self._post(self._do_pause)

    def step(self) -> None:
        """Train exactly one step."""
        self._post(self._do_step)

    def reset(self) -> None:
        """Make everything anew, from the same seed."""
        self._post(self._do_reset)

    def close(self) -> None:
        """Stop for good, and let go of the buttons; the controls stay their owner's."""
        self.playing = self._outdated = False
        self._commands.clear()
        self._release_interrupt()
        for control, handler in self._handlers:
            control.unobserve(handler, names="value")
        if self._generator is not None:
            self._generator.close()
        for widget in self._own:
            widget.close()

    def _ipython_display_(self) -> None:
        for widget in self._names:
            widget.shown = widget.orphaned = False
        self._picture.show(self.frame)
        names = ["Play", "Step", "Reset", "rewind"] * self._trains + list(self.controls)
        mime = "application/vnd.jupyter.widget-view+json"
        panel = {"version_major": 2, "version_minor": 0, "model_id": self._panel.model_id}
        display({mime: panel, "text/plain": f"Run this cell to get: {', '.join(names)}."}, raw=True)

    # The queue: a click may be handled in another thread (ipykernel 7's subshells), so it only asks

    def _post(self, command: Callable[[], None]) -> None:
        self._commands.append(command)
        if self._loop is None:
            if not self._busy:  # else the loop that is under way will obey
                self._busy = True
                while self._turn():
                    pass
                self._busy = False
        else:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._turn():
                await asyncio.sleep(0.001)  # with sleep(0) a click would wait for several slices
        finally:
            self._task = None

    def _turn(self) -> bool:
        """Obey, then train for one slice; return whether there is more to do."""
        while self._commands:
            self._deadline = time.monotonic() + PAUSE_AFTER
            self._commands.popleft()()
        if self._outdated:  # no training meanwhile: its frames would leave no time for this one
            if self._throttle.ready():
                self._remake()
        elif self.playing:
            self._train()
        return self.playing or self._outdated or bool(self._commands)

    def _do_play(self) -> None:
        if self.finished:
            self._remake()
        if self._generator is None:
            return
        other, Playground._active = Playground._active, self
        if other is not None and other is not self:
            other._do_pause()
        self.playing = True
        self._show_status("Playing")

    def _do_pause(self) -> None:
        self._interrupted = False
        if self.playing:
            self._settle()

    def _do_step(self) -> None:
        if self._outdated:  # begin anew first, or the step would be lost
            self._remake()
        if self._generator is not None:
            with self._reader_code():
                self._advance()
            self._settle()

    def _do_reset(self) -> None:
        self.playing = False
        self._remake()

    def _do_change(self, name: str) -> None:
        untrained = self.step_count == 0 and not self.playing  # then there is nothing to lose
        if not self._trains or name in self.reset_on or untrained:
            self._outdated = True
        elif not self.playing:
            self._settle()  # the view may read it, too

    def _do_rewind(self) -> None:
        step, self.frame = self._film.frames[self._rewind.value]
        self._rewind_step.value = f"step {step:,}"
        self._picture.update(self.frame)
        self._caption.value = caption("Rewound", step, self.frame[1])

    # Training

    def _begin(self) -> None:
        """Call `make`, and see its first state."""
        made = self.make(Values(self.controls))
        self._trains = isinstance(made, Iterator)
        first = made
        if self._trains:
            try:
                first = next(made)
            except StopIteration:
                raise ValueError(
                    "make(c) yielded nothing; it must yield the state before any training first"
                ) from None
            self._generator = made
            self.view.reset()
        self.state, self.step_count, self.finished = first, 0, False
        self.error: BaseException | None = None
        self._film, self._printed = Film(), io.StringIO()
        self.view.see(self.state)

    def _remake(self) -> None:
        """Throw the training away and begin again; if it played, it plays on."""
        played, self._outdated = self.playing, False
        with self._throttle:
            with self._reader_code():
                if self._generator is not None:
                    self._generator.close()
                self._begin()
            self._settle()
        if played:
            self._do_play()

    def _advance(self) -> None:
        """Train one step."""
        self._stepping = True
        try:
            self.state = next(self._generator)
        except StopIteration:
            self.playing, self.finished, self._generator = False, True, None
        else:
            self.step_count += 1
            self.view.record(self.state)
        finally:
            self._stepping = False

    def _train(self) -> None:
        """Train for a slice of time, or until a command waits."""
        self._catch_interrupt()
        ends = time.monotonic() + SLICE
        with self._reader_code():
            while self.playing and not self._commands and time.monotonic() < ends:
                self._advance()
                if self._throttle.ready():
                    with self._throttle:
                        self._draw()
                        self._show_status("Playing")
        if not self.playing:
            self._settle()
        elif time.monotonic() > self._deadline:
            self._settle(f" after {PAUSE_AFTER / 60:.0f} minutes without a click")

    @contextlib.contextmanager
    def _reader_code(self) -> Iterator[None]:
        """Keep what the reader's code prints and raises; an error ends the training, no more."""
        try:
            with (
                contextlib.redirect_stdout(self._printed),
                contextlib.redirect_stderr(self._printed),
            ):
                yield
        except (Exception, KeyboardInterrupt) as error:
            self.playing, self._generator, self.error = False, None, self.error or error

    def _settle(self, why: str = "") -> None:
        """Stop, and show the newest state."""
        self.playing = False
        self._release_interrupt()
        with self._reader_code():
            self._draw(final=True)
        if self.error:
            status = "Stopped by an error"
        elif self.finished:
            status = "Finished"
        else:
            status = "Paused" if self.step_count else "Ready"
        self._show_status(status + why)

    # ■ in the toolbar: between cells ipykernel ignores SIGINT, so while it plays it may mean Pause

    def _catch_interrupt(self) -> None:
        with contextlib.suppress(ValueError, AttributeError):  # not the main thread; no signals
            handler = signal.getsignal(signal.SIGINT)
            # or that of a playground that was closed by a cell, while the cell's own stood there
            stale = getattr(handler, "__func__", None) is Playground._on_interrupt
            if handler is signal.SIG_IGN or (stale and handler != self._on_interrupt):
                signal.signal(signal.SIGINT, self._on_interrupt)

    def _release_interrupt(self) -> None:
        with contextlib.suppress(ValueError, AttributeError):
            if signal.getsignal(signal.SIGINT) == self._on_interrupt:
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _on_interrupt(self, number: int, place: Any) -> None:
        if self._interrupted and self._stepping:  # asked before, and this step does not end
            raise KeyboardInterrupt
        self._interrupted = True
        self._commands.append(self._do_pause)

    # What is seen

    def _draw(self, final: bool = False) -> None:
        self.frame = self.view.frame(self.state, final)
        if self._trains:
            self._film.append(self.step_count, self.frame)
        self._picture.update(self.frame)

    def _show_status(self, status: str) -> None:
        """Bring the buttons, the caption and the messages up to date."""
        if not self._trains:
            status = "Stopped by an error" if self.error else ""
        self._play.description = "Pause" if self.playing else "Play"
        self._play.icon = "pause" if self.playing else "play"
        self._caption.value = caption(
            status, self.step_count if self._trains else None, self.frame[1]
        )
        self._show_message()
        self._rewind.disabled = self.playing
        if self.playing:
            self._rewind_step.value = ""
        else:
            self._filling = True
            self._rewind.max = self._rewind.value = max(0, len(self._film.frames) - 1)
            self._rewind_step.value = f"step {self.step_count:,}"
            self._filling = False

    def _show_message(self) -> None:
        orphaned = any(widget.orphaned for widget in self._names)
        self._message.value = message(self._printed.getvalue(), self.error, orphaned)

    def _build_panel(self) -> None:
        """Make the buttons and lay them out with the controls."""
        wide = widgets.Layout(width="7em")
        self._play = widgets.Button(
            description="Play", icon="play", button_style="primary", layout=wide
        )
        step = widgets.Button(description="Step", icon="step-forward", layout=wide)
        reset = widgets.Button(description="Reset", icon="undo", layout=wide)
        self._play.on_click(lambda _: self._post(self._do_pause if self.playing else self._do_play))
        step.on_click(lambda _: self.step())
        reset.on_click(lambda _: self.reset())
        self._rewind = widgets.IntSlider(
            max=0, description="Rewind to", readout=False, layout=widgets.Layout(width="18em")
        )
        self._rewind_step = widgets.Label("step 0")
        self._filling = False  # whether the slider moves by itself, not by the reader's hand
        self._rewind.observe(lambda _: self._filling or self._post(self._do_rewind), names="value")
        self._caption, self._message = widgets.HTML(), widgets.HTML()
        buttons = widgets.HBox([self._play, step, reset, self._rewind, self._rewind_step])
        buttons.layout = widgets.Layout(align_items="center", flex_flow="row wrap")
        dials = widgets.Box([*self.controls.values()])
        dials.layout = widgets.Layout(flex_flow="row wrap", grid_gap="4px 24px")
        self._handlers = []
        for name, control in self.controls.items():
            handler = partial(lambda name, _: self._post(partial(self._do_change, name)), name)
            control.observe(handler, names="value")
            self._handlers.append((control, handler))
        label(self.controls, self.reset_on)
        self._names = names()
        for widget in self._names:
            widget.observe(lambda _: self._show_message(), names="orphaned")
        rows = [self._caption, *[buttons] * self._trains, dials, self._message, *self._names]
        self._panel = widgets.VBox(rows)
        self._own = [self._panel, *rows, *buttons.children]

    def _close_older(self) -> list[Playground]:
        """Close the playgrounds of this cell's last run; return the list of this run's."""
        parent = getattr(get_ipython(), "get_parent", dict)()
        run = parent.get("header", {}).get("msg_id", "")
        cell = parent.get("metadata", {}).get("cellId")
        cell = cell or getattr(self.make, "__qualname__", type(self.make).__qualname__)
        last_run, siblings = Playground._cells.get(cell, ("", []))
        if run == "" or run != last_run:
            for old in siblings:
                old.close()
            siblings = []
        Playground._cells[cell] = (run, siblings)
        return siblings


def label(controls: dict[str, Any], reset_on: Sequence[str]) -> None:
    """Give each control a label that is not cut off, and mark those that start training again."""
    labelled = {name: c for name, c in controls.items() if hasattr(c, "description")}
    for name, control in labelled.items():
        control.description = control.description or name.replace("_", " ")
        if name in reset_on and not control.description.endswith(" ↺"):
            control.description += " ↺"
            control.tooltip = "Changing this starts the training again."
    width = max((len(c.description) for c in labelled.values()), default=0) * 0.6 + 1
    for control in labelled.values():
        if hasattr(control.style, "description_width"):
            control.style.description_width = f"{width:.1f}em"
            control.layout.width = control.layout.width or f"{width + 18:.1f}em"


def caption(status: str, step: int | None, sentence: str) -> str:
    """Return the line under the picture: HTML that says what is seen.

    A screen reader announces it (role="status") when the training stops, not at every frame.
    """
    role = "" if status == "Playing" else ' role="status"'
    counter = "" if step is None else f"<b>{html.escape(status)} · step {step:,}.</b> "
    if step is None and status:
        counter = f"<b>{html.escape(status)}.</b> "
    return f"<div{role} style='line-height:1.5'>{counter}{html.escape(sentence)}</div>"


def message(printed: str, error: BaseException | None, orphaned: bool = False) -> str:
    """Return what the reader's code printed last, its error, and a lost picture, as HTML."""
    style = "margin:0; padding:4px 8px; white-space:pre-wrap; line-height:1.4;"
    parts = []
    if printed:
        parts.append(f"<pre style='{style}'>{html.escape(printed[-4000:])}</pre>")
    if error is not None:
        red = "border-left:4px solid #D55E00; background:var(--jp-rendermime-error-background,#fdd)"
        parts.append(
            f"<pre role='alert' style='{style} {red}'>{html.escape(explain(error))}\n\n"
            "Mend the cell and run it again, or press Reset, where there is one.</pre>"
        )
    if orphaned:
        parts.append(
            f"<pre role='alert' style='{style}'>This page was loaded anew, and the picture above "
            "no longer follows: run the cell again.</pre>"
        )
    return "".join(parts)


def explain(error: BaseException) -> str:
    """Say what was raised and where in the reader's code; our own lines are left out."""
    trace = traceback.TracebackException.from_exception(error)
    here = os.path.dirname(__file__)
    lines = []
    for place in trace.stack:
        if not place.filename.startswith(here):
            file = "the cell" if "ipykernel" in place.filename else os.path.basename(place.filename)
            lines.append(f"{file}, line {place.lineno}, in {place.name}: {place.line}\n")
    return "".join([*lines, *trace.format_exception_only()]).rstrip()
