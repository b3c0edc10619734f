"""The pads' Python side; tests/browser drags and draws."""

import builtins
import importlib
import re

import numpy as np
import pytest
from ipywidgets import Dropdown

from dlcourse import pad as module
from dlcourse.pad import DigitPad, PointPad

GROUPS = {"two": [[0.1, 0.2, 0], [0.3, 0.4, 1]], "one": [[0.5, 0.5, 1]]}


def test_points_come_and_go_as_rows_of_x_y_class():
    pad = PointPad(GROUPS)
    assert pad.value == [[0.1, 0.2, 0], [0.3, 0.4, 1]]
    assert isinstance(pad.value[0][2], int)
    heard = []
    pad.observe(heard.append, names="value")
    pad.choose("one")
    assert [change.new for change in heard] == [[[0.5, 0.5, 1]]]


def test_points_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"'points' of shape \(4, 2\).*\[x, y, class\]"):
        PointPad(np.zeros((4, 2)))
    with pytest.raises(ValueError, match="class not in 0 to 1"):
        PointPad([[0, 0, 2]])
    with pytest.raises(ValueError, match="5 names"):
        PointPad([[0, 0, 0]], names="abcde")


def test_a_drawing_is_28_by_28_from_0_to_1():
    pad = DigitPad()
    assert pad.value.shape == (28, 28)
    assert pad.value.max() == 0
    heard = []
    pad.observe(heard.append, names="value")
    pixels = np.zeros((28, 28), np.uint8)
    pixels[3, 5] = 255
    pad.pixels = memoryview(pixels.tobytes())  # so it arrives from the browser
    assert len(heard) == 1
    assert pad.value.dtype == np.float32
    assert np.argwhere(pad.value == 1).tolist() == [[3, 5]]


def test_an_example_drawing_is_shown_first():
    ramp = np.linspace(0, 1, 784).reshape(28, 28)
    pad = DigitPad({"ramp": ramp})
    assert np.allclose(pad.value, ramp, atol=1 / 255)
    with pytest.raises(ValueError, match=r"shape \(784,\).*\(28, 28\)"):
        DigitPad({"flat": ramp.ravel()})


def test_javascript_stays_under_60_lines_and_labels_what_it_shows():
    for pad in (PointPad(GROUPS, label="penguins"), DigitPad(label="a seven")):
        assert len(pad._esm.strip().splitlines()) < 60
        assert pad.label in ("penguins", "a seven")
        assert "aria-label" in pad._esm
        assert re.search("keydown", pad._esm)


def test_without_anywidget_it_says_so_and_offers_a_choice(monkeypatch):
    real_import = builtins.__import__

    def without_anywidget(name, *rest):
        if name.startswith("anywidget"):
            raise ImportError(name)
        return real_import(name, *rest)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(builtins, "__import__", without_anywidget)
            without = importlib.reload(module)
            pad = without.PointPad(GROUPS, label="penguins")
            drawing = without.DigitPad({"blank": np.zeros((28, 28)), "full": np.ones((28, 28))})
        sentence, choice = pad.children
        assert "pip install anywidget" in sentence.value
        assert isinstance(choice, Dropdown)
        assert choice.description == "penguins"
        assert choice.options == ("two", "one")
        choice.value = "one"
        assert pad.value == [[0.5, 0.5, 1]]
        drawing.children[1].value = "full"
        assert drawing.value.min() == 1
    finally:
        importlib.reload(module)
