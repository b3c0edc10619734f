"""The playgrounds and the form of lesson 08, driven as a reader drives them."""

import re

import pytest
from playwright.sync_api import expect

from conftest import code_of

SOURCES = code_of(__file__)


def cells(*markers: str) -> list[str]:
    """Return the cells that hold the markers, each after all that it needs in one cell.

    The playgrounds are named p; those that are not asked for are left out.
    """
    chosen, needed = [], []
    for source in SOURCES:
        if any(marker in source for marker in markers):
            playground = re.sub(r"^Playground\(", "p = Playground(", source, flags=re.M)
            named = playground + "\np" if playground != source else source
            chosen += ["\n\n".join(needed), named] if needed else [named]
            needed = []
        elif not re.match(r"ex\.|def \w+\(.*\):\s+\.\.\.|study\.quiz", source):
            needed.append(source.split("\nPlayground(")[0])
    return chosen


class Lesson:
    """A notebook of some of the lesson's cells, run one after the other."""

    def __init__(self, notebook):
        self.notebook, self.at = notebook, -1

    def go_on(self) -> None:
        """Run the next playground, and the cell with all that it needs, if there is one."""
        while True:
            self.at += 1
            self.notebook.run(self.at)
            self.cell = self.notebook.cells.nth(self.at)
            if self.at == 0 or self.at % 2:
                break
        self.notebook.wait_for_kernel()

    def picture(self) -> str:
        self.cell.locator("img").last.wait_for()
        return self.notebook.picture(self.at)

    def press(self, name: str, key: str, times: int) -> None:
        self.notebook.press(name, key, times, self.at)

    def click(self, name: str) -> None:
        self.notebook.button(name, self.at).click()

    def select(self, option: str) -> None:
        self.cell.locator("select").select_option(option)

    def __getattr__(self, name: str):
        return getattr(self.notebook, name)


@pytest.fixture
def open_lesson(open_notebook):
    return lambda *markers: Lesson(open_notebook(*cells(*markers)))


def test_noise_made_to_measure_turns_a_digit_into_another(open_lesson):
    lesson = open_lesson("class NoiseView")
    lesson.go_on()
    before = lesson.picture()
    assert lesson.ask("int(p.state[3].argmax()) == p.state[2] == 7")
    lesson.click("Step")
    lesson.wait_until("p.step_count == 1")
    lesson.click("Play")
    lesson.wait_until("int(p.state[3].argmax()) != 7")
    assert lesson.ask("float(abs(p.state[1]).max()) < 0.26")
    lesson.wait_until("p.finished")
    assert lesson.picture() != before
    lesson.select("2")
    lesson.wait_until("p.state[2] == 2 and p.step_count == 0")


def test_the_other_playgrounds_and_the_model_card(open_lesson):
    markers = ("HungerView", "MeterView", "Calculator", "Thresholds")
    lesson = open_lesson(*(f"class {name}(" for name in markers), "card_file = ")
    lesson.go_on()
    lesson.go_on()

    # Few images are learned by heart; shifts act at once, another number begins anew.
    before = lesson.picture()
    lesson.click("Play")
    lesson.wait_until("p.step_count >= 20")
    seen, unseen = lesson.ask("tuple(map(float, p.state[1]))")
    assert seen < 0.02 < 0.2 < unseen
    assert lesson.picture() != before
    lesson.cell.get_by_role("checkbox").check()
    lesson.wait_until("p.controls['shift'].value")
    lesson.select("2000")
    lesson.wait_until("p.controls['images'].value == 2000 and p.playing and p.step_count < 20")
    lesson.click("Pause")

    # The meter counts every FLOP of a real training.
    lesson.go_on()
    before = lesson.picture()
    lesson.click("Play")
    lesson.wait_until("p.step_count >= 10")
    lesson.click("Pause")
    lesson.wait_until("not p.playing and p._task is None")
    assert lesson.ask("p.state[1] == p.step_count * 3 * 64 * 833_040 and p.state[2] > 0")
    assert lesson.picture() != before
    lesson.press("watts", "ArrowRight", 5)
    lesson.click("Step")
    lesson.wait_until("p.state[3] == 35")
    lesson.select("GPT, small")
    lesson.wait_until("p.step_count == 0 and p.state[1] == 0")
    lesson.click("Step")
    lesson.wait_until("p.state[1] > 1e8")

    # The calculator knows GPT-3's energy, as near as its sliders can be set, and obeys them.
    lesson.go_on()
    before = lesson.picture()
    kwh = lesson.ask("float(p.state[1])")
    assert abs(kwh / 1.287e6 - 1) < 0.02
    lesson.press("PUE", "ArrowRight", 2)  # 1.1 → 1.2
    lesson.wait_until(f"abs(p.state[1] / {kwh} - 1.2 / 1.1) < 1e-6")
    assert lesson.picture() != before

    # A threshold moves its group's counts alone, and with them the criteria.
    lesson.go_on()
    before = lesson.picture()
    assert lesson.ask("p.state['holds']['predictive parity']")
    assert not lesson.ask("p.state['holds']['equal opportunity']")
    men = lesson.ask("p.state['counts'][1]")
    found = lesson.ask("float(p.state['rates'][0]['TPR'])")
    lesson.press("women: yes from", "ArrowLeft", 16)
    lesson.wait_until("abs(p.state['thresholds'][0] - 0.34) < 1e-6")
    assert lesson.ask("float(p.state['rates'][0]['TPR'])") > found
    assert lesson.ask("p.state['counts'][1]") == men
    assert lesson.ask("p.state['holds']['equal opportunity']")
    assert lesson.picture() != before

    # The model card shows and keeps what is typed, and the saved notebook does not have it.
    lesson.go_on()
    typed = "It may overlook women who earn enough."
    lesson.cell.locator("textarea").nth(5).fill(typed)
    expect(lesson.cell.locator("pre")).to_contain_text(typed)
    expect(lesson.cell.locator("pre")).to_contain_text("| women | 5,421 |")
    lesson.wait_until("'overlook women' in card_file.with_suffix('.md').read_text()")
    lesson.run(lesson.at)
    expect(lesson.cell.locator("textarea").nth(5)).to_have_value(typed)
    saved = str(lesson.save().cells[lesson.at].outputs)
    assert "Run this cell to get a form" in saved
    assert "overlook women" not in saved
