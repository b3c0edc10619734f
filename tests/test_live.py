"""View, Throttle, Live and Playground without a browser: what a script and pytest see."""

import asyncio
import gc
import io
import signal
import threading
import time
import tracemalloc

import numpy as np
import pytest
from ipywidgets import FloatSlider, IntSlider
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from dlcourse import plots
from dlcourse.live import Live, Playground, Throttle, View
from dlcourse.live import playground as module
from dlcourse.live.playground import Film
from dlcourse.live.view import png


class MapView(View):
    """A heat map under points, with a legend, and a growing line: all that the fast path knows."""

    size, title = (6, 3), "A map and a loss."

    def build(self, fig):
        left, right = fig.subplots(1, 2)
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(60, 2)), rng.integers(0, 3, 60)
        self.map = plots.decision_boundary(left, x, y, names=["a", "b", "c"], resolution=40)
        self.curve = plots.loss_curve(right)

    def record(self, state):
        self.curve.append(1 / (1 + state))

    def set(self, state):
        grid = self.map.grid
        self.map.set(np.stack([grid[:, 0], np.sin(grid[:, 1] + state), grid[:, 1]], axis=1))

    def describe(self, state):
        return self.curve.sentence()


class LineView(View):
    """The smallest view: one line."""

    size, title = (3, 2), "A line."

    def build(self, fig):
        self.curve = plots.loss_curve(fig.subplots())

    def record(self, state):
        self.curve.append(state)


def pixels(frame):
    return np.asarray(Image.open(io.BytesIO(frame[0][1])))


def full_drawing(view):
    """Draw the view's figure by matplotlib alone."""
    for artist in view.fig.findobj():
        artist.set_animated(False)
    canvas = FigureCanvasAgg(view.fig)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


# View


def test_png_keeps_every_pixel():
    image = np.random.default_rng(0).integers(0, 256, (17, 31, 3), dtype=np.uint8)
    for level in (1, 6):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(image, level)))), image)


def test_a_frame_looks_like_matplotlibs_full_drawing():
    view = MapView()
    for state in range(30):
        view.see(state)
        frame = pixels(view.frame(state))
    difference = np.abs(frame.astype(int) - full_drawing(view))
    # heat maps are interpolated a little differently and rounded to 4 levels of brightness
    assert difference.mean() < 2
    assert (difference.max(axis=2) > 24).mean() < 0.002


def test_what_set_does_not_touch_is_not_drawn_again(monkeypatch):
    view = MapView()
    view.see(0)
    view.frame(0)
    drawn = []
    monkeypatch.setattr(view._canvas, "draw", lambda: drawn.append("all"))
    for artist in view.fig.axes[0].collections:
        monkeypatch.setattr(artist, "draw", lambda renderer: drawn.append("points"))
    before = pixels(view.frame(0))
    after = pixels(view.frame(1.5))
    assert drawn == []
    assert (before != after).any()


def test_only_what_moves_is_moving_even_where_axes_are_off_or_artists_invisible():
    class Off(View):
        def build(self, fig):
            self.ax = fig.subplots()
            self.ax.set_axis_off()
            self.hidden = self.ax.text(0, 0, "hidden", visible=False)
            self.line = self.ax.plot([0, 1])[0]

        def set(self, state):
            self.line.set_ydata([0, state])

    view = Off()
    for state in range(3):
        view.see(state)
        view.frame(state)
    assert view._moving == [view.line]


def test_letters_that_stay_the_same_are_not_drawn_again_and_look_the_same():
    class Words(View):
        def build(self, fig):
            ax = fig.subplots()
            self.line = ax.plot([0, 1])[0]
            self.words = ax.text(0.1, 0.5, "", fontsize=20, color="#777777")

        def set(self, state):
            self.line.set_ydata([0, state])
            self.words.set_text(f"from {state // 10 * 10}")

    view, drawn = Words(), []
    view.see(0)
    view.frame(0)
    draw = view.words.draw
    view.words.draw = lambda renderer: (drawn.append(view.words.get_text()), draw(renderer))
    for state in range(1, 30):
        view.see(state)
        frame = pixels(view.frame(state))
    # a new text as it comes, and once more when it has stayed; the first was there already
    assert drawn == ["from 0", "from 10", "from 10", "from 20", "from 20"]
    assert np.abs(frame.astype(int) - full_drawing(view)).max() <= 2
    last = pixels(view.frame(29, final=True))
    assert np.array_equal(last, full_drawing(view))  # whatever frames there were before


def test_new_limits_are_drawn():
    view = LineView()
    view.see(1.0)
    before = pixels(view.frame(1.0))
    for loss in (50.0, 60.0):
        view.see(loss)
    after = pixels(view.frame(60.0))
    assert view.fig.axes[0].get_ylim()[1] >= 60
    left = slice(0, 40)  # the tick labels
    assert (before[:, left] != after[:, left]).any()


def test_what_is_behind_an_image_shows_where_it_is_not_opaque():
    class Overlay(View):
        size = (4, 3)

        def build(self, fig):
            left, right = fig.subplots(1, 2)
            for ax in (left, right):
                ax.imshow(np.eye(4), cmap="gray")
            self.half = left.imshow(np.zeros((4, 4)), vmin=0, vmax=1, alpha=0.4)
            self.part = right.imshow(np.zeros((4, 4)), vmin=0, vmax=1)

        def set(self, state):
            values = np.linspace(0, state, 16).reshape(4, 4)
            self.half.set_data(values)
            self.part.set_data(np.where(values > 0.5, np.nan, values))

    view = Overlay()
    for state in (1.0, 0.8):
        view.see(state)
        frame = pixels(view.frame(state))
    difference = np.abs(frame.astype(int) - full_drawing(view)).max(axis=2)
    assert (difference > 3).mean() < 0.005  # squares may end a pixel apart


def test_every_state_is_recorded_but_only_some_are_drawn():
    class Counting(LineView):
        drawn = 0

        def set(self, state):
            self.drawn += 1

    view = Counting()
    with Live(view) as live:
        for i in range(500):
            live(float(i))
    assert view.curve.raw.y == live.history == [float(i) for i in range(500)]
    assert 1 <= view.drawn < 50


def test_the_images_way_up_and_nearest_pixels():
    class ImageView(View):
        size = (2, 2)

        def build(self, fig):
            fig.set_layout_engine("none")
            self.ax = fig.add_axes([0, 0, 1, 1])
            self.image = self.ax.imshow(
                np.zeros((2, 2)), vmin=0, vmax=1, cmap="gray", origin=self.origin
            )
            self.image.set_interpolation("nearest")

        def set(self, state):
            self.image.set_data(state)

    for origin in ("upper", "lower"):
        view = ImageView()
        view.origin = origin
        view.see(None)
        frame = pixels(view.frame(np.array([[0, 1], [1, 1]])))
        dark = frame[50 if origin == "upper" else 150, 50]
        assert (dark < 10).all(), origin
        assert (frame[50 if origin == "lower" else 150, 50] > 240).all()


def median_ms(work, repeats):
    times = []
    for i in range(repeats):
        began = time.process_time()
        work(i)
        times.append(time.process_time() - began)
    return np.median(times) * 1000


def test_a_frame_is_three_times_cheaper_than_a_full_drawing_and_small():
    view = MapView()
    view.see(0)
    fast = median_ms(view.frame, 20)
    size = len(view.frame(1, final=True)[0][1]) * 4 / 3  # as base64
    for artist in view.fig.findobj():
        artist.set_animated(False)

    def draw(i):
        view.set(i)
        view._canvas.draw()

    assert fast * 3 < median_ms(draw, 5)
    assert size < 100 * 1024


def test_a_thousand_frames_do_not_grow_the_memory():
    def make(c):
        yield 0.0
        for i in range(1000):
            yield float(i % 97)

    playground = make_playground(make)
    playground._throttle = Throttle(fps=1e9, share=1)  # every step is drawn
    tracemalloc.start()
    try:
        playground.play()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 5e6
    finally:
        tracemalloc.stop()


def test_a_view_without_build_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="build"):
        View().see(None)


# Throttle


def test_the_throttle_leaves_three_quarters_of_the_time(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("dlcourse.live.watch.time.perf_counter", lambda: clock[0])
    for cost in (0.001, 0.01, 0.05, 0.3):
        throttle, drawn, began = Throttle(), 0, clock[0]
        while clock[0] < began + 10:
            if throttle.ready():
                with throttle:
                    clock[0] += cost
                drawn += 1
            clock[0] += 0.001
        assert drawn <= 151
        assert drawn * cost <= 0.25 * (clock[0] - began) + cost
        assert drawn >= min(140, 0.2 * 10 / cost)


# Live


def test_live_draws_the_last_state_and_ends_cleanly_on_interrupt(capsys):
    finals = []

    class Watched(LineView):
        def frame(self, state, final=False):
            finals.append((state, final))
            return super().frame(state, final)

    with Live(Watched()) as live:
        for i in range(100):
            live(float(i))
            if i == 60:
                raise KeyboardInterrupt
    assert finals[-1] == (60.0, True)
    assert len(live.history) == 61
    assert "61 steps" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_comes_while_an_object_is_freed_is_not_lost():
    class Unlucky:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)  # Python prints the exception, and goes on

    before = signal.getsignal(signal.SIGINT)
    with Live(LineView()) as live:
        for i in range(10):
            live(float(i))
            if i == 4:
                Unlucky()
    assert len(live.history) == 5
    assert signal.getsignal(signal.SIGINT) is before


def test_a_view_that_is_used_again_begins_anew():
    view = LineView()
    for _ in range(2):
        with Live(view) as live:
            for loss in (3.0, 2.0, 1.0):
                live(loss)
    assert "in 3 steps" in view.curve.sentence()


@pytest.mark.parametrize("make", [Live, lambda view: Playground(lambda c: 1, view)])
def test_a_class_is_no_view(make):
    with pytest.raises(ValueError, match=r"write LineView\(\)"):
        make(LineView)


def test_live_lets_other_errors_through():
    live = Live(LineView())

    def block():
        with live:
            live(1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert live.history == [1.0]


# Playground: without a loop its commands run at once


def learn(c):
    rng = np.random.default_rng(3)
    weight = 5.0
    yield weight
    for _ in range(50):
        weight -= c.lr * (weight + rng.normal())
        yield weight


async def until(true):
    """Let the event loop go on until something is true; a minute is for the busiest machine."""
    for _ in range(60_000):
        if true():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it did not become true")


def make_playground(make=learn, view=None, **options):
    options.setdefault("lr", FloatSlider(0.1, max=1))
    return Playground(make, view or LineView(), **options)


def test_the_first_state_is_drawn_before_any_step():
    playground = make_playground()
    assert playground.state == 5.0
    assert playground.step_count == 0
    assert not playground.playing
    assert pixels(playground.frame).shape == (200, 300, 3)


def test_step_is_one_and_reset_repeats_exactly():
    playground = make_playground()
    states = []
    for count in range(1, 11):
        playground.step()
        assert playground.step_count == count
        states.append(playground.state)
    frame = playground.frame
    playground.reset()
    assert playground.step_count == 0
    assert playground.state == 5.0
    assert playground.view.curve.raw.y == [5.0]
    for expected in states:
        playground.step()
        assert playground.state == expected
    assert playground.frame == frame


def test_play_ends_and_a_finished_one_resets_and_plays_again():
    made = []

    def make(c):
        made.append(1)
        return learn(c)

    playground = make_playground(make)
    playground.play()
    assert playground.finished
    assert playground.step_count == 50
    first = playground.state
    playground.step()
    assert playground.step_count == 50
    playground.play()
    assert (playground.step_count, playground.state, len(made)) == (50, first, 2)
    playground.reset()
    assert playground.step_count == 0
    assert not playground.finished
    assert "Ready" in playground._caption.value


def test_a_control_acts_while_it_trains():
    rates = []

    def make(c):
        yield 0.0
        for i in range(10):
            if i == 5:
                playground.controls["lr"].value = 0.7
            rates.append(c.lr)
            yield 0.0

    playground = make_playground(make)
    playground.play()
    assert rates == [0.1] * 5 + [0.7] * 5


def test_a_control_of_reset_on_begins_again():
    def make(c):
        yield float(c.units)
        for _ in range(9):
            yield float(c.units)

    playground = make_playground(make, units=IntSlider(4, max=9), reset_on=["units"])
    playground.step()
    playground.controls["units"].value = 7
    assert (playground.step_count, playground.state) == (0, 7.0)
    playground.step()
    playground.controls["lr"].value = 0.5
    assert playground.step_count == 1
    assert playground.controls["units"].description == "units ↺"


def test_a_control_of_reset_on_acts_before_the_next_of_many_fast_steps():
    steps = {}

    def make(c):
        units = c.units
        steps[units] = 0
        yield 0.0
        while True:
            steps[units] += 1
            yield 0.0

    async def play():
        playground = make_playground(make, units=IntSlider(4, max=9), reset_on=["units"])
        playground.play()
        late = []
        for units in (5, 6, 7, 8, 9):
            await until(lambda old=units - 1: steps[old] > 100)
            playground.controls["units"].value = units
            before = steps[units - 1]
            await until(lambda new=units: new in steps)
            late.append(steps[units - 1] - before)
        playing = playground.playing
        playground.close()
        return late, playing

    assert asyncio.run(play()) == ([0] * 5, True)  # counted in steps: no matter how busy it is


def test_before_the_first_step_every_control_shows_at_once():
    def make(c):
        yield c.lr
        yield from [0.0] * 9

    playground = make_playground(make)
    playground.controls["lr"].value = 0.5
    assert (playground.step_count, playground.state, playground.playing) == (0, 0.5, False)
    playground.step()
    playground.controls["lr"].value = 0.7  # now something would be lost
    assert (playground.step_count, playground.state) == (1, 0.0)


def test_a_step_right_after_a_control_is_not_lost():
    def make(c):
        yield c.lr
        yield 10 * c.lr

    async def click():
        playground = make_playground(make)
        playground._throttle._due = time.perf_counter() + 0.1  # as after a drawing that took long
        playground.controls["lr"].value = 0.5
        playground.step()
        await asyncio.sleep(0.01)  # now its task has begun
        await until(lambda: playground._task is None)  # and has no more to do
        playground.close()
        return playground.step_count, playground.state

    assert asyncio.run(click()) == (1, 5.0)


def test_a_control_that_the_view_reads_shows_at_once_while_paused():
    class Zoomed(LineView):
        def describe(self, state):
            return f"{state} at {playground.controls['lr'].value}"

    def make(c):
        yield from (1.0, 2.0, 3.0)

    playground = make_playground(make)
    playground.view = Zoomed()
    playground.reset()
    playground.step()
    playground.controls["lr"].value = 0.5
    assert playground.frame[1] == "2.0 at 0.5"
    assert (playground.step_count, playground.state, len(playground._film.frames)) == (1, 2.0, 2)
    playground.step()
    assert playground.state == 3.0


def test_a_plain_function_is_drawn_again_at_every_change():
    playground = make_playground(lambda c: c.lr)
    before = playground.frame
    for value in (0.2, 0.3, 0.9):
        playground.controls["lr"].value = value
    assert playground.state == 0.9
    assert playground.frame != before
    assert playground._play not in playground._panel.children


def test_what_the_reader_prints_and_raises_is_shown(capsys):
    def make(c):
        yield 1.0
        print("<one>")
        yield 0.5
        raise ValueError("too <large>")

    playground = make_playground(make)
    playground.play()
    assert capsys.readouterr() == ("", "")
    shown = playground._message.value
    for text in ("&lt;one&gt;", "ValueError: too &lt;large&gt;", "in make", "raise ValueError"):
        assert text in shown
    assert "playground.py" not in shown
    assert playground.step_count == 1
    assert "Stopped by an error · step 1" in playground._caption.value
    assert len(playground._film.frames) == 2
    playground.play()
    assert playground.step_count == 1
    playground.reset()
    assert playground._message.value == ""
    playground.step()
    assert playground.step_count == 1


def test_an_error_in_the_view_is_shown_too():
    class Broken(LineView):
        def set(self, state):
            if state < 4:
                raise RuntimeError("cannot draw this")

    playground = make_playground(view=Broken())
    playground.play()
    assert "cannot draw this" in playground._message.value
    assert not playground.playing


def test_an_error_before_the_first_picture_is_the_cells():
    def make(c):
        raise ValueError("no data")
        yield

    with pytest.raises(ValueError, match="no data"):
        make_playground(make)

    def nothing(c):
        return
        yield

    with pytest.raises(ValueError, match="yielded nothing"):
        make_playground(nothing)


def test_errors_of_a_lessons_author_are_named():
    with pytest.raises(TypeError, match=r"lr=0\.1.*FloatSlider"):
        make_playground(lr=0.1)
    with pytest.raises(ValueError, match="reset_on"):
        make_playground(reset_on=["units"])
    with pytest.raises(AttributeError, match=r"c\.rate.*there are: lr"):
        make_playground(lambda c: c.rate)


def test_it_pauses_when_nobody_clicks(monkeypatch):
    monkeypatch.setattr(module, "PAUSE_AFTER", 0.1)

    def forever(c):
        while True:
            yield 1.0

    playground = make_playground(forever)
    playground.play()
    assert playground.step_count > 0
    assert "without a click" in playground._caption.value


def test_running_a_cell_again_closes_its_old_playground():
    first = make_playground()
    generator = first._generator
    second = make_playground()
    assert generator.gi_frame is None
    second.step()
    assert second.step_count == 1


def test_no_thread_is_started():
    before = threading.active_count()
    playground = make_playground()
    playground.play()
    assert threading.active_count() == before


def test_rewind_shows_an_old_frame_and_step_goes_on_from_the_newest():
    playground = make_playground()
    for _ in range(5):
        playground.step()
    newest = playground.frame
    playground._rewind.value = 0
    assert playground.frame != newest
    assert "Rewound · step 0" in playground._caption.value
    playground._rewind.value = 5
    assert playground.frame == newest
    playground._rewind.value = 2
    playground.step()
    assert playground.step_count == 6
    assert playground._rewind.value == 6


def test_interrupt_means_pause_and_twice_breaks_a_step_that_hangs():
    def make(c):
        yield 1.0
        yield 0.9
        signal.raise_signal(signal.SIGINT)
        yield 0.8
        yield 0.7
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        yield 0.6

    old = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as ipykernel does between cells
    try:
        playground = make_playground(make)
        playground.play()
        assert playground.state == 0.8
        assert "Paused" in playground._caption.value
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        playground.play()
        assert playground.state == 0.7
        assert "KeyboardInterrupt" in playground._message.value
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, old)


def test_the_film_thins_out_and_keeps_both_ends():
    film = Film(limit=10_000)
    for step in range(1000):
        film.append(step, (("image/png", bytes(500)), ""))
        assert sum(len(f[0][1]) for _, f in film.frames) <= 10_000
    steps = [step for step, _ in film.frames]
    assert (steps[0], steps[-1]) == (0, 999)
    assert max(np.diff(steps)) < 400


def test_labels_are_there_and_wide_enough():
    playground = make_playground(
        learning_rate=FloatSlider(0.1), lr=FloatSlider(0.1, description="η")
    )
    labels = [control.description for control in playground.controls.values()]
    assert labels == ["learning rate", "η"]
    widths = {control.style.description_width for control in playground.controls.values()}
    assert len(widths) == 1


def test_a_make_that_failed_does_not_stand_in_the_way_of_its_mended_self():
    def wrong(c):
        return c.nothing

    def right(c):
        yield 1.0

    wrong.__qualname__ = right.__qualname__ = "make"  # the same cell, run again
    with pytest.raises(AttributeError, match="nothing"):
        Playground(wrong, MapView())
    assert Playground(right, MapView()).state == 1.0
