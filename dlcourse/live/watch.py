"""Show a training while a cell runs it."""

from __future__ import annotations

import base64
import contextlib
import signal
import time
from types import FrameType, TracebackType
from typing import Any

from IPython import get_ipython
from IPython.display import display

from dlcourse.live.view import Frame, View, check_view


class Throttle:
    """Says when the next frame is due, so that drawing never takes much of the time from training.

    Parameters
    ----------
    fps : float
        At most so many frames a second.
    share : float
        At most this share of the time goes to drawing, whatever a frame costs.

    Examples
    --------
    >>> throttle = Throttle()
    >>> if throttle.ready():
    ...     with throttle:
    ...         draw()
    """

    def __init__(self, fps: float = 15, share: float = 0.25) -> None:
        self.fps, self.share = fps, share
        self._due = 0.0
        self._began = 0.0

    def ready(self) -> bool:
        """Whether a frame is due."""
        return time.perf_counter() >= self._due

    def __enter__(self) -> Throttle:
        self._began = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        now = time.perf_counter()
        rest = (now - self._began) * (1 / self.share - 1)
        self._due = max(self._began + 1 / self.fps, now + rest)


class Picture:
    """One output of a cell, replaced in place; where there is no notebook it shows nothing.

    Parameters
    ----------
    title : str
        Its text/plain, which stays the same.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._handle: Any = None

    def show(self, frame: Frame) -> None:
        """Put the picture under the running cell; shown twice, it moves in both places."""
        if get_ipython() is not None:
            data, metadata = self._bundle(frame)
            name = True if self._handle is None else self._handle.display_id
            self._handle = display(data, raw=True, metadata=metadata, display_id=name)

    def update(self, frame: Frame) -> None:
        """Replace the picture."""
        if self._handle is not None:
            data, metadata = self._bundle(frame)
            self._handle.update(data, raw=True, metadata=metadata)

    def _bundle(self, frame: Frame) -> tuple[dict[str, str], dict[str, Any]]:
        (mime, picture), sentence = frame
        # nbconvert makes the sentence the picture's alternative text; JupyterLab 4.6 knows none
        data = {mime: base64.b64encode(picture).decode(), "text/plain": self.title}
        return data, {mime: {"alt": sentence}}


class Live:
    """Show a training while it runs, at most 15 frames a second; ■ ends it and keeps what it did.

    Parameters
    ----------
    view : View
        How a state looks. Its figure is built anew.

    Attributes
    ----------
    history : list
        Every state that it was given.

    Examples
    --------
    >>> with Live(view) as live:
    ...     for step in train(model, loss_fn, optimizer, loader, epochs=5):
    ...         live(step)
    >>> losses = [step.loss for step in live.history]
    """

    def __init__(self, view: View) -> None:
        check_view("Live", view)
        self.view = view
        view.fig = None  # it may have seen another training
        self.history: list[Any] = []
        self._stopped = False
        self._handler: Any = None  # of ■, before this one
        self._throttle = Throttle()
        self._picture = Picture(view.title)

    def __enter__(self) -> Live:
        with contextlib.suppress(ValueError):  # signals come to the main thread only
            self._handler = signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True
        raise KeyboardInterrupt

    def __call__(self, state: Any) -> None:
        """Take the next state; it is drawn if a frame is due.

        Parameters
        ----------
        state : object
            What the view's `record`, `set` and `describe` understand.
        """
        if self._stopped:  # Python drops an exception that comes while it frees an object
            raise KeyboardInterrupt
        first = not self.history
        self.history.append(state)
        self.view.see(state)
        if self._throttle.ready():
            with self._throttle:
                frame = self.view.frame(state)
                (self._picture.show if first else self._picture.update)(frame)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        if self.history:
            # an error or ■ in the block is what to tell of, not one in the last drawing
            with contextlib.suppress(BaseException) if kind else contextlib.nullcontext():
                self._picture.update(self.view.frame(self.history[-1], final=True))
        if kind is KeyboardInterrupt:
            print(
                f"Stopped after {len(self.history)} steps; history keeps them. What comes next in "
                "this cell may need all of them: for that, run it again."
            )
            return True
        return False
