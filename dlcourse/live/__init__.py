"""Live pictures of a training, and the buttons and sliders that steer it.

`View` draws a state as a picture, fast. `Live` shows it while a cell trains. `Playground` adds
Play, Pause, Step, Reset, a rewind and the reader's own controls, and trains between the kernel's
other work.

The picture is an ordinary output replaced in place, so that a saved notebook keeps the last one.
"""

from dlcourse.live.playground import Playground
from dlcourse.live.view import Frame, View
from dlcourse.live.watch import Live, Throttle

__all__ = ["Frame", "Live", "Playground", "Throttle", "View"]
