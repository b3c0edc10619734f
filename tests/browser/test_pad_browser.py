"""The pads under a real pointer and a real keyboard."""

import pytest
from playwright.sync_api import expect

POINTS = """
import numpy as np
from dlcourse import plots
from dlcourse.live import Playground, View
from dlcourse.pad import DigitPad, PointPad

class PointsView(View):
    size, title = (4, 4), "The points."
    def build(self, fig):
        self.ax = fig.subplots()
        self.ax.set(xlim=(-1, 1), ylim=(-1, 1))
        self.dots = plots.points(self.ax, [[0, 0]], [0])[0]
    def set(self, points):
        self.dots.set_offsets(np.array(points)[:, :2])
    def describe(self, points):
        return f"{len(points)} points."

pad = PointPad([[-0.5, 0, 0], [0.5, 0.25, 1]], names=["Adelie", "Gentoo"], label="penguins")
p = Playground(lambda c: c.points, PointsView(), points=pad)
p"""
DIGIT = """
import numpy as np
from dlcourse.pad import DigitPad
pad = DigitPad(label="draw a seven")
pad"""


@pytest.fixture
def points(open_notebook):
    notebook = open_notebook(POINTS)
    notebook.run(0)
    notebook.page.get_by_role("button", name="point 1, Adelie").scroll_into_view_if_needed()
    return notebook


def test_drag_a_point_and_the_picture_follows(points):
    before = points.picture(0)
    point = points.page.get_by_role("button", name="point 2, Gentoo")
    box = point.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    points.page.mouse.move(x, y)
    points.page.mouse.down()
    points.page.mouse.move(x - 37, y + 74, steps=8)  # 148 pixels are 1
    points.page.mouse.up()
    points.wait_until("abs(pad.value[1][0] - 0.25) < 0.02 and abs(pad.value[1][1] + 0.25) < 0.02")
    points.wait_until("p.state == pad.value and p._task is None")
    assert points.picture(0) != before
    assert points.ask("pad.value[0]") == [-0.5, 0, 0]


def test_double_click_adds_a_point_and_changes_its_class(points):
    plane = points.page.get_by_role("group", name="penguins")
    plane.dblclick(position={"x": 160, "y": 40})
    points.wait_until("len(pad.value) == 3")
    assert points.ask("pad.value[2][2]") == 0
    plane.dblclick(position={"x": 160, "y": 40})
    points.wait_until("pad.value[2][2] == 1")
    expect(points.page.get_by_text("3 points.")).to_be_visible()


def test_points_by_keyboard(points):
    page = points.page
    page.get_by_role("group", name="penguins").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    points.wait_until("pad.value[0] == [-0.45, 0.2, 0]")
    page.keyboard.press("Space")
    points.wait_until("pad.value[0][2] == 1")
    page.keyboard.press("Insert")
    points.wait_until("len(pad.value) == 3")
    page.keyboard.press("Delete")
    page.keyboard.press("Delete")
    points.wait_until("len(pad.value) == 1")
    points.ask("0", "pad.choose('points')")  # from Python, too
    expect(page.get_by_role("button", name="point 2, Gentoo, at 0.5, 0.25")).to_be_visible()


def test_draw_a_digit(open_notebook):
    notebook = open_notebook(DIGIT)
    notebook.run(0)
    page = notebook.page
    canvas = page.locator("canvas[role=application]")
    canvas.wait_for()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for moves in [[(80, 60), (200, 60), (120, 240)]]:
        page.mouse.move(box["x"] + moves[0][0], box["y"] + moves[0][1])
        page.mouse.down()
        for x, y in moves[1:]:
            page.mouse.move(box["x"] + x, box["y"] + y, steps=6)
        page.mouse.up()
    notebook.wait_until("pad.value[5:7, 9:20].mean() > 0.9 and pad.value[22, 11:14].max() > 0.9")
    assert notebook.ask(
        "pad.value.shape, str(pad.value.dtype), float(pad.value[15:, 20:].max())"
    ) == (
        (28, 28),
        "float32",
        0.0,
    )
    page.get_by_role("button", name="Clear").click()
    notebook.wait_until("pad.value.max() == 0")

    canvas.focus()
    page.keyboard.press("Space")
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    for _ in range(9):
        page.keyboard.press("ArrowDown")
    # the pen begins where the pointer left it, in row 25 at most
    notebook.wait_until("(pad.value > 0.9).any(axis=1).sum() >= 4")
    expect(page.get_by_text("pen up, row 28")).to_be_visible()
    page.keyboard.press("Delete")
    notebook.wait_until("pad.value.max() == 0")


def test_keys_are_the_pads_own_and_not_the_notebooks(points):
    """In command mode x cuts the cell and a adds one."""
    cells = points.cells.count()
    for name in ("point 1, Adelie", "point 2, Gentoo"):
        points.page.get_by_role("button", name=name).focus()
        for key in "xa":
            points.page.keyboard.press(key)
    points.page.get_by_role("group", name="penguins").focus()
    points.page.keyboard.press("x")
    points.page.wait_for_timeout(300)
    expect(points.cells).to_have_count(cells)
    points.page.get_by_role("button", name="point 1, Adelie").focus()
    for key in ("Delete", "Delete", "Insert"):  # after the last point is gone, too
        points.page.keyboard.press(key)
        points.page.wait_for_timeout(100)
    points.wait_until("len(pad.value) == 1")


def test_the_right_button_draws_nothing(open_notebook):
    notebook = open_notebook(DIGIT)
    notebook.run(0)
    canvas, cells = notebook.page.get_by_role("application"), notebook.cells.count()
    canvas.click(button="right", position={"x": 100, "y": 100})
    notebook.page.keyboard.press("Escape")  # the menu
    notebook.page.wait_for_timeout(300)
    assert notebook.ask("float(pad.value.sum())") == 0
    canvas.focus()
    notebook.page.keyboard.press("x")
    canvas.click(position={"x": 100, "y": 100})
    notebook.wait_until("pad.value.sum() > 0")
    expect(notebook.cells).to_have_count(cells)
