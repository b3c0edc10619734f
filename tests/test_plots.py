"""The pictures: what the artists hold, never what the pixels look like."""

import base64
import io

import matplotlib.style
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from dlcourse import plots
from dlcourse.live import View

X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 2.0]])
Y = np.array([0, 1, 1, 0, 2])


@pytest.fixture
def ax():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.subplots()


def test_style_is_opaque_legible_and_known_to_matplotlib():
    with matplotlib.style.context(plots.STYLE):
        assert matplotlib.rcParams["figure.facecolor"] == "white"
        sizes = ["font.size", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"]
        assert min(matplotlib.rcParams[size] for size in sizes) >= 9
        cycle = [c["color"] for c in matplotlib.rcParams["axes.prop_cycle"]]
    assert cycle == list(plots.COLOURS)
    assert len(set(plots.COLOURS)) == len(set(plots.MARKERS)) == 8


def test_points_differ_in_colour_and_marker(ax):
    drawn = plots.points(ax, X, Y, names=np.array(["a", "b", "c"]))
    assert [len(d.get_offsets()) for d in drawn] == [2, 2, 1]
    assert np.array_equal(drawn[1].get_offsets(), X[Y == 1])
    assert len({tuple(d.get_facecolor()[0]) for d in drawn}) == 3
    assert len({d.get_paths()[0].vertices.tobytes() for d in drawn}) == 3
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b", "c"]


def test_points_say_what_is_wrong(ax):
    with pytest.raises(ValueError, match=r"\(5, 3\).*\(N, 2\)"):
        plots.points(ax, np.zeros((5, 3)), Y)
    with pytest.raises(ValueError, match="5 points in x but 4 classes"):
        plots.points(ax, X, Y[:4])


def test_decision_boundary_colours_each_place_by_its_class(ax):
    drawn = plots.decision_boundary(ax, X, Y, resolution=10)
    assert drawn.grid.shape == (100, 2)
    assert drawn.grid.dtype == np.float32
    assert drawn.grid[0, 0] < drawn.grid[1, 0]  # x runs first …
    assert drawn.grid[0, 1] == drawn.grid[1, 1]
    assert drawn.grid[0, 1] < drawn.grid[10, 1]  # … then y, upwards
    assert (drawn.image.get_array() == 255).all()
    left_of_one = drawn.grid[:, 0] < 1
    drawn.set(lambda grid: np.stack([90 * left_of_one, 90 * ~left_of_one, 0 * left_of_one], 1))
    image = np.asarray(drawn.image.get_array()).reshape(-1, 3)
    for where, colour in ((left_of_one, plots.COLOURS[0]), (~left_of_one, plots.COLOURS[1])):
        pale = np.array(matplotlib.colors.to_rgb(colour)) * 0.45 + 0.55
        assert np.allclose(image[where] / 255, pale, atol=0.01)
    assert drawn.image.origin == "lower"
    low, high = X.min(axis=0), X.max(axis=0)
    assert ax.get_xlim()[0] < low[0]
    assert ax.get_ylim()[1] > high[1]


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_a_signed_score_turns_colour_at_zero(ax, shape):
    drawn = plots.decision_boundary(ax, X, Y > 0, resolution=20)
    score = drawn.grid[:, 0] + drawn.grid[:, 1] - 1.5
    drawn.set(score.reshape(shape))
    image = np.asarray(drawn.image.get_array()).reshape(-1, 3).astype(int)
    blue = image[:, 2] > image[:, 0]
    clear = np.abs(score) > 0.3  # half and half, orange outshines blue
    assert np.array_equal(blue[clear], score[clear] < 0)


def test_decision_map_says_what_is_wrong(ax):
    drawn = plots.decision_boundary(ax, X, Y, resolution=10)
    with pytest.raises(ValueError, match=r"\(99, 3\).*100 points"):
        drawn.set(np.zeros((99, 3)))


def test_nan_scores_are_white_and_do_not_warn(ax, recwarn):
    drawn = plots.decision_boundary(ax, X, Y, resolution=10)
    drawn.set(np.full((100, 3), np.nan))
    assert (drawn.image.get_array() == 255).all()
    assert not recwarn.list


@pytest.mark.parametrize("w", [(1.0, 2.0), (-3.0, 0.5), (0.0, 1.0), (1.0, 0.0)])
def test_the_separator_lies_where_the_neuron_is_undecided(ax, w):
    ax.set(xlim=(-2, 2), ylim=(-1, 3))
    line = plots.separator(ax, w, -0.5)
    assert ax.get_xlim() == (-2, 2)
    points = line.get_xydata()
    assert np.allclose(points @ w - 0.5, 0)
    assert np.linalg.norm(points[1] - points[0]) > 5.6  # from edge to edge, however it lies
    line.turn([0, 0], 1)
    assert len(line.get_xydata()) == 0
    line.turn([np.nan, 1], 1)
    assert len(line.get_xydata()) == 0


def test_the_loss_curve_holds_every_loss_and_makes_room(ax):
    curve = plots.loss_curve(ax, [3.0, 2.0])
    for step in range(1000):
        curve.append(1 / (1 + step))
    assert curve.raw.y[:3] == [3.0, 2.0, 1.0]
    assert curve.raw.x == list(range(1, 1003))
    assert ax.get_xlim()[1] >= 1002
    assert ax.get_ylim()[1] > 3
    curve.append(500.0)
    assert ax.get_ylim()[1] > 500
    ax.figure.canvas.draw()
    assert len(curve.raw.get_xdata()) < 2100
    assert curve.raw.get_xdata()[0] == 1003  # the newest is always drawn


def test_the_loss_curves_mean_is_smooth_unbiased_and_skips_what_is_not_finite(ax):
    curve = plots.loss_curve(ax)
    for loss in [2.0, 2.0, np.nan, 2.0, np.inf, 2.0]:
        curve.append(loss)
    assert np.allclose(curve.mean.y, 2.0)
    assert curve.mean.x == [1, 2, 4, 6]
    ax.figure.canvas.draw()


def test_the_loss_curves_sentence_tells_what_is_seen(ax):
    curve = plots.loss_curve(ax)
    assert curve.sentence() == "No step of training yet."
    curve.append(2.0)
    assert curve.sentence() == "The loss is 2.00 after 1 step."
    for loss in np.linspace(2, 0, 200):
        curve.append(loss)
    assert curve.sentence() == "The loss fell from 2.00 to 0.09 in 201 steps."
    for _ in range(100):
        curve.append(9.0)
    assert "rose from 2.00 to 9.00 in 301 steps" in curve.sentence()
    small = plots.loss_curve(ax, [0.5, *[0.00123] * 2000])
    assert small.sentence() == "The loss fell from 0.50 to 0.0012 in 2,001 steps."
    flat = plots.loss_curve(ax, [1.0] * 3)
    assert flat.sentence() == "The loss is 1.00, as at the start, after 3 steps."


def test_a_logarithmic_loss_curve_makes_room_below(ax):
    ax.set_yscale("log")
    curve = plots.loss_curve(ax, [1.0, 1e-5])
    assert 0 < ax.get_ylim()[0] < 1e-5
    assert curve.ax is ax


def test_an_image_grid_shows_every_image_in_its_place_with_one_artist(ax):
    images = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3)
    grid = plots.image_grid(ax, images, columns=3)
    shown = np.asarray(grid.image.get_array())
    assert ax.get_images() == [grid.image]
    assert shown.shape == (7, 13)
    assert np.array_equal(shown[1:3, 1:4], images[0])
    assert np.array_equal(shown[4:6, 5:8], images[4])
    assert (shown[4:6, 9:12] == 0).all()  # there is no sixth
    assert np.array_equal(grid.places[[0, 4]], [[2, 1.5], [6, 4.5]])
    assert grid.image.get_clim() == (0, 29)
    grid.set(images[::-1, None])
    assert np.array_equal(grid.image.get_array()[1:3, 1:4], images[4])
    assert grid.image.get_clim() == (0, 29)  # a colour keeps its meaning …
    grid.set(images, limit=2)
    assert grid.image.get_clim() == (0, 2)  # … unless one says otherwise


def test_a_signed_image_grid_is_blue_below_zero_and_orange_above(ax):
    images = np.zeros((2, 2, 2))
    images[0, 0, 0], images[1, 1, 1] = -4, 2
    grid = plots.image_grid(ax, images, signed=True)
    assert grid.image.get_clim() == (-4, 4)
    r, g, b = np.moveaxis(grid.image.to_rgba(np.array([-2.0, 0.0, 2.0]))[:, :3], 1, 0)
    assert b[0] > g[0] > r[0]
    assert r[1] == g[1] == b[1] == 1
    assert r[2] > g[2] > b[2]
    grid.set(images, limit=8)
    assert grid.image.get_clim() == (-8, 8)
    assert plots.image_grid(ax, np.zeros((1, 2, 2)), signed=True).image.get_clim() == (-1, 1)


def test_an_image_grid_is_updated_fast_by_a_view_as_matplotlib_would_draw_it():
    class Digits(View):
        size = (4, 2)

        def build(self, fig):
            self.grid = plots.image_grid(fig.subplots(), np.zeros((6, 8, 8)), limit=1)

        def set(self, images):
            self.grid.set(images)

    view = Digits()
    for seed in range(2):
        (_, data), _ = view.frame(np.random.default_rng(seed).random((6, 8, 8)))
    fast = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    view.grid.image.set_animated(False)
    view._canvas.draw()
    slow = np.asarray(view._canvas.buffer_rgba())[..., :3].astype(int)
    assert (np.abs(fast - slow).max(axis=2) > 3).mean() < 0.05  # but for edges, half a pixel off


def test_an_image_grid_says_what_is_wrong(ax):
    with pytest.raises(ValueError, match=r"\(5, 64\).*\(N, H, W\)"):
        plots.image_grid(ax, np.zeros((5, 64)))
    grid = plots.image_grid(ax, np.zeros((5, 8, 8)))
    with pytest.raises(ValueError, match=r"\(4, 8, 8\).*\(5, 8, 8\)"):
        grid.set(np.zeros((4, 8, 8)))


def test_curves_are_told_apart_without_colour(ax):
    z = np.linspace(-2, 2, 9)
    lines = plots.curves(ax, z, {"tanh": np.tanh, "ReLU": lambda z: np.maximum(z, 0)})
    assert np.array_equal(lines["ReLU"].get_ydata(), np.maximum(z, 0))
    assert lines["tanh"].get_linestyle() != lines["ReLU"].get_linestyle()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["tanh", "ReLU"]


def test_a_constant_function_is_a_level_line(ax):
    line = plots.curves(ax, [0, 1, 2], {"one half": lambda z: 0.5})["one half"]
    np.testing.assert_array_equal(line.get_ydata(), [0.5, 0.5, 0.5])


def test_show_displays_the_sentence_and_closes_the_figure(monkeypatch):
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    fig, ax = plt.subplots()
    ax.plot([2, 0])
    plots.show(fig, "A line that falls from 2 to 0.")
    (data,), options = shown[0]
    assert data["text/plain"] == "A line that falls from 2 to 0."
    assert options["metadata"]["image/png"]["alt"] == data["text/plain"]
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
    assert image.mode == "P"  # a palette: less than half as large
    assert not plt.fignum_exists(fig.number)
    with pytest.raises(ValueError, match="sentence"):
        plots.show(fig, " ")


def test_the_same_figure_is_shown_as_the_same_bytes(monkeypatch):
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **k: shown.append(data))
    for _ in range(2):
        fig, ax = plt.subplots()
        plots.points(ax, X, Y)
        plots.show(fig, "Five points.")
    assert shown[0] == shown[1]


def test_an_attention_map_has_a_row_for_each_query_and_a_column_for_each_key(ax):
    weights = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 0.8]])
    image = plots.attention_map(ax, weights, ["who", "what"], ["a", "b", "c"])
    np.testing.assert_array_equal(image.get_array(), weights)
    assert image.get_clim() == (0, 0.8)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["who", "what"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c"]
    assert plots.attention_map(ax, np.zeros((2, 2))).get_clim() == (0, 1)
    assert plots.attention_map(ax, weights, limit=1.0).get_clim() == (0, 1)


@pytest.mark.parametrize(("queries", "keys"), [(["who"], None), (None, ["a", "b"])])
def test_an_attention_map_wants_a_name_for_each_row_and_column(ax, queries, keys):
    with pytest.raises(ValueError, match=r"\(2, 3\).*names"):
        plots.attention_map(ax, np.ones((2, 3)), queries, keys)
    with pytest.raises(ValueError, match="attention_map got"):
        plots.attention_map(ax, np.ones((1, 2, 3)))
