"""The promises of live.py, kept under real clicks in a real JupyterLab."""

import base64
import re
import statistics
import subprocess
import sys

import nbformat
import pytest
from playwright.sync_api import expect

SETUP = """
import time
import numpy as np
from ipywidgets import FloatSlider, IntSlider
from dlcourse import plots
from dlcourse.live import Live, Playground, View

class LossView(View):
    size, title = (7, 3), "The loss while a weight learns."
    def build(self, fig):
        self.curve = plots.loss_curve(fig.subplots())
    def record(self, state):
        if state is not None:
            self.curve.append(state)
    def describe(self, state):
        return self.curve.sentence()

steps = []  # of each step: the clock, the loss, the learning rate
def make(c):
    rng = np.random.default_rng(1)
    weight = 3.0
    yield None
    for _ in range(100_000):
        end = time.perf_counter() + 0.002
        while time.perf_counter() < end:  # a step of 2 ms, busy as a real one is
            pass
        weight -= c.lr * (weight + rng.normal())
        steps.append((time.time(), weight**2, c.lr))
        yield weight**2
"""
SHOW = "p = Playground(make, LossView(), lr=FloatSlider(0.01, min=0, max=0.1, step=0.01))\np"


@pytest.fixture
def playground(open_notebook):
    notebook = open_notebook(SETUP, SHOW, "print(6 * 7)")
    notebook.run(0)
    notebook.run(1)
    notebook.button("Play").wait_for()
    notebook.wait_for_kernel()
    return notebook


def wait_paused(notebook):
    notebook.button("Play").wait_for()
    notebook.wait_until("not p.playing and p._task is None")


def test_pause_acts_within_100_ms(playground):
    playground.page.evaluate(
        "() => document.addEventListener('click', () => {window.clicked = Date.now()}, true)"
    )
    delays = []
    for _ in range(11):
        before = playground.ask("len(steps)")
        playground.button("Play").click()
        playground.wait_until(f"len(steps) > {before + 50}")
        playground.button("Pause").click()
        clicked = playground.page.evaluate("() => window.clicked")
        wait_paused(playground)
        delays.append(max(0, playground.ask("steps[-1][0]") * 1000 - clicked))
    print("ms from the click to the last step:", sorted(round(d) for d in delays))
    assert statistics.median(delays) <= 100


def test_step_is_one_step_and_reset_repeats_the_run_exactly(playground):
    for count in (1, 2, 3):
        playground.button("Step").click()
        playground.wait_until(f"p.step_count == {count} and p._task is None")
        assert playground.ask("len(steps)") == count
    playground.button("Play").click()
    playground.wait_until("len(steps) > 100")
    playground.button("Reset").click()
    playground.wait_until("p.step_count == 0 and not p.playing")
    expect(playground.says("Ready · step 0.")).to_be_visible()
    first = playground.ask("[s[1] for s in steps][:100]")
    picture = playground.ask("p._film.frames[0][1][0][1][:2000]")
    playground.ask("0", "steps.clear()")
    playground.button("Play").click()
    playground.wait_until("len(steps) >= 100")
    assert playground.ask("[s[1] for s in steps][:100]") == first
    assert playground.ask("p._film.frames[0][1][0][1][:2000]") == picture


def test_a_slider_acts_while_it_trains(playground):
    playground.button("Play").click()
    playground.wait_until("len(steps) > 20")
    handle = playground.page.get_by_role("slider").last
    handle.focus()
    for _ in range(3):
        playground.page.keyboard.press("ArrowRight")
    playground.wait_until("abs(steps[-1][2] - 0.04) < 1e-9")
    assert playground.ask("p.playing and len({s[2] for s in steps}) >= 2")
    assert playground.ask("p.step_count == len(steps)")  # no Reset in between


def test_sliders_tell_their_names_and_what_they_show(open_notebook):
    log = """from ipywidgets import FloatLogSlider
q = Playground(make, LossView(), reset_on=["units"], rate=FloatLogSlider(0.01, min=-3, max=1,
    readout_format=".3g"), units=IntSlider(4, max=9))
q"""
    guess = """from dlcourse.study import predict
predict("welcome.compute", "How many?", IntSlider(3, max=9, description="n"))"""
    notebook = open_notebook(SETUP, log, guess)
    for cell in range(3):
        notebook.run(cell)
    slider = notebook.page.get_by_role("slider", name="rate")
    expect(slider).to_have_attribute("aria-valuetext", "0.0100")
    slider.focus()
    notebook.page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "0.0126")
    for name in ("Rewind to", "units ↺", "n"):
        expect(notebook.page.get_by_role("slider", name=name, exact=True)).to_have_count(1)


def test_another_cell_runs_meanwhile(playground):
    playground.button("Play").click()
    playground.wait_until("len(steps) > 20")
    playground.run(2)
    expect(playground.cells.nth(2).locator(".jp-OutputArea-output")).to_have_text("42")
    before = playground.ask("len(steps)")
    playground.wait_until(f"p.playing and len(steps) > {before + 50}")


def test_running_its_cell_again_ends_the_old_one(playground):
    playground.ask("0", "old = p")
    playground.button("Play").click()
    playground.wait_until("len(steps) > 20")
    playground.run(1)
    playground.wait_until("p is not old and old._task is None and not old.playing")
    assert playground.ask("old._generator.gi_frame is None")
    assert not playground.ask("p.playing")
    expect(playground.button("Play")).to_have_count(1)
    before = playground.ask("len(steps)")
    playground.button("Step").click()
    playground.wait_until("p.step_count == 1")
    assert playground.ask("len(steps)") == before + 1


def test_an_error_is_shown_and_nothing_is_lost(open_notebook):
    failing = """
def make_failing(c):
    yield None
    for i in range(30):
        print("step", i)
        if i == 20 and c.fails:
            raise ValueError("the weights are gone")
        yield 1.0
p = Playground(make_failing, LossView(), fails=IntSlider(1, min=0, max=1))
p"""
    notebook = open_notebook(SETUP, failing, "print(6 * 7)")
    notebook.run(0)
    notebook.run(1)
    notebook.button("Play").click()
    error = notebook.page.get_by_role("alert").filter(has_text="the weights are gone")
    expect(error).to_contain_text("ValueError")
    expect(error).to_contain_text("in make_failing")
    expect(notebook.says("Stopped by an error · step 20.")).to_be_visible()
    expect(notebook.says("step 19").first).to_be_visible()
    assert notebook.ask("p.step_count, len(p._film.frames) >= 2") == (20, True)
    notebook.run(2)
    notebook.page.get_by_role("slider").last.focus()
    notebook.page.keyboard.press("ArrowLeft")
    notebook.button("Reset").click()
    expect(error).to_have_count(0)
    notebook.button("Play").click()
    expect(notebook.says("Finished · step 30.")).to_be_visible()
    notebook.button("Reset").click()  # a finished training can be reset
    expect(notebook.says("Ready · step 0.")).to_be_visible()


LIVE = """
with Live(LossView()) as live:
    for i in range({steps}):
        time.sleep(0.01)
        live(1 / (i + 1))
"""


def test_interrupt_ends_a_live_cell_and_keeps_its_history(open_notebook):
    notebook = open_notebook(SETUP, LIVE.format(steps=10_000), "print(len(live.history) > 20)")
    notebook.run(0)
    notebook.run(1, wait=False)
    notebook.cells.nth(1).locator("img").wait_for()
    notebook.page.wait_for_timeout(1000)
    notebook.interrupt()
    notebook.wait_for_prompt(1)
    outputs = notebook.cells.nth(1).locator(".jp-OutputArea-output")
    expect(outputs.last).to_contain_text("Stopped after")
    assert "KeyboardInterrupt" not in outputs.last.inner_text()
    notebook.run(2)
    expect(notebook.cells.nth(2).locator(".jp-OutputArea-output")).to_have_text("True")


def test_interrupt_while_playing_means_pause(playground):
    for _ in range(3):
        before = playground.ask("len(steps)")
        playground.button("Play").click()
        playground.wait_until(f"len(steps) > {before + 50}")
        playground.interrupt()
        wait_paused(playground)
    expect(playground.says("Paused · step")).to_be_visible()
    playground.run(2)
    expect(playground.cells.nth(2).locator(".jp-OutputArea-output")).to_have_text("42")
    assert playground.ask("__import__('signal').getsignal(2).__class__.__name__") != "method"


def test_interrupt_means_pause_after_the_cell_was_run_again_while_it_played(playground):
    playground.button("Play").click()
    playground.wait_until("len(steps) > 50")
    playground.run(1)
    playground.wait_until("not p.playing and p.step_count == 0")
    playground.button("Play").click()
    playground.wait_until("p.step_count > 50")
    playground.interrupt()
    wait_paused(playground)


def test_a_page_that_was_loaded_anew_says_that_its_picture_stands_still(playground):
    says = playground.says("the picture above no longer follows")
    playground.button("Step").click()
    playground.wait_until("p.step_count == 1")
    playground.run(2)
    expect(says).to_have_count(0)
    playground.save()
    playground.page.reload()
    playground.wait_for_kernel()
    expect(says).to_be_visible()
    playground.button("Step").click()
    playground.wait_until("p.step_count == 2")
    expect(says).to_be_visible()
    playground.run(1)
    playground.button("Play").wait_for()
    expect(says).to_have_count(0)
    playground.button("Step").click()
    playground.wait_until("p.step_count == 1")
    expect(says).to_have_count(0)


def test_nothing_fails_when_the_outputs_are_cleared(playground):
    errors = []
    playground.page.on("pageerror", lambda error: errors.append(error))
    playground.page.evaluate(
        "() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"
    )
    expect(playground.button("Play")).to_have_count(0)
    playground.run(1)
    playground.button("Play").wait_for()
    assert errors == []


def test_rewind(playground):
    playground.button("Play").click()
    playground.wait_until("len(p._film.frames) > 5")
    playground.button("Pause").click()
    wait_paused(playground)
    newest = playground.picture(1)
    playground.page.get_by_role("slider").first.focus()
    playground.page.keyboard.press("Home")
    expect(playground.says("Rewound · step 0.")).to_be_visible()
    oldest = playground.picture(1)
    playground.page.keyboard.press("ArrowRight")
    second = playground.picture(1)
    for _ in range(playground.ask("len(p._film.frames)")):
        playground.page.keyboard.press("ArrowRight")
    assert playground.picture(1) == newest
    assert len({newest, oldest, second}) == 3
    playground.page.keyboard.press("Home")
    count = playground.ask("p.step_count")
    playground.button("Step").click()
    expect(playground.says(f"Paused · step {count + 1}.")).to_be_visible()


def test_the_keyboard_is_enough(playground):
    page = playground.page
    playground.cells.nth(1).locator(".cm-content").click()
    page.keyboard.press("Escape")
    focused = "() => document.activeElement.innerText?.trim() || document.activeElement.role || ''"
    for _ in range(30):
        page.keyboard.press("Tab")
        if re.search("Play$", page.evaluate(focused)):
            break
    else:
        pytest.fail("Tab does not reach Play")
    page.keyboard.press("Space")
    playground.wait_until("p.playing and len(steps) > 20")
    assert re.search("Pause$", page.evaluate(focused))  # the focus has stayed
    page.keyboard.press("Space")
    wait_paused(playground)
    count = playground.ask("p.step_count")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    playground.wait_until(f"p.step_count == {count + 1}")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    playground.wait_until("p.step_count == 0")
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.ariaValueMax") == "0.1":
            break
    page.keyboard.press("ArrowRight")
    playground.wait_until("abs(p.controls['lr'].value - 0.02) < 1e-9")


def test_at_most_15_frames_a_second(playground):
    playground.page.evaluate(
        """() => {window.frames_seen = 0;
        window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.iopubMessage.connect(
            (_, m) => {if (m.header.msg_type == 'update_display_data') window.frames_seen++})}"""
    )
    playground.button("Play").click()
    playground.wait_until("len(steps) > 20")
    before = playground.page.evaluate("() => [window.frames_seen, Date.now()]")
    playground.page.wait_for_timeout(3000)
    after = playground.page.evaluate("() => [window.frames_seen, Date.now()]")
    fps = (after[0] - before[0]) / (after[1] - before[1]) * 1000
    print(f"{fps:.1f} frames a second")
    assert 5 < fps < 15.7


def test_one_plays_at_a_time_and_a_forgotten_one_pauses(open_notebook):
    second = "q = Playground(make, LossView(), lr=FloatSlider(0.01, max=0.1))\nq"
    notebook = open_notebook(SETUP, SHOW, second)
    for cell in range(3):
        notebook.run(cell)
    notebook.button("Play", cell=1).click()
    notebook.wait_until("p.playing and p.step_count > 20")
    notebook.button("Play", cell=2).click()
    notebook.wait_until("q.playing and not p.playing")
    expect(notebook.button("Play", cell=1)).to_be_visible()
    notebook.button("Pause", cell=2).click()
    notebook.wait_until("not q.playing")
    notebook.ask("0", "import dlcourse.live.playground as module; module.PAUSE_AFTER = 1")
    notebook.button("Play", cell=1).click()
    notebook.wait_until("p.playing")
    notebook.wait_until("not p.playing")
    expect(notebook.says("without a click")).to_be_visible()


def nbval(path):
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", "-q"),
            *("--nbval", "--nbval-current-env", str(path)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_saved_notebook_shows_its_last_picture(open_notebook, lab):
    alone = "import dlcourse; print('ready')"
    notebook = open_notebook(SETUP, SHOW, LIVE.format(steps=50), alone)
    for cell in range(4):
        notebook.run(cell)
    notebook.button("Play").click()
    notebook.wait_until("p.step_count > 100")
    notebook.button("Pause").click()
    wait_paused(notebook)
    shown = notebook.picture(1)
    saved = notebook.save()
    for cell in (1, 2):
        output = saved.cells[cell].outputs[0]
        assert output.data["text/plain"] == "The loss while a weight learns."
        assert output.metadata["image/png"]["alt"].startswith("The loss fell from")
        assert len(output.data["image/png"]) < 100 * 1024
    assert saved.cells[1].outputs[0].data["image/png"].strip().endswith(shown)
    assert saved.cells[1].outputs[1].data["text/plain"] == (
        "Run this cell to get: Play, Step, Reset, rewind, lr."
    )
    outcome = nbval(notebook.path)
    assert outcome.returncode == 0, outcome.stdout

    html = subprocess.run(
        [
            *(sys.executable, "-m", "nbconvert", "--to", "html", "--stdout"),
            *("--template", "classic", str(notebook.path)),  # the template that shows "alt"
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    assert len(re.findall(r'alt="The loss fell from', html)) == 2

    lab.end_sessions()
    notebook.page.reload()
    assert notebook.picture(1) == shown
    image = notebook.cells.nth(1).locator("img")
    assert image.evaluate("image => image.naturalWidth") == 700


def test_nbval_is_green_on_what_nbclient_executes(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(c) for c in (SETUP, SHOW, LIVE.format(steps=50))]
    )
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    path = tmp_path / "executed.ipynb"
    from nbclient import NotebookClient

    NotebookClient(notebook, store_widget_state=False, timeout=60).execute()
    for index, cell in enumerate(notebook.cells, 1):
        cell.execution_count = index
    nbformat.write(notebook, path)
    assert base64.b64decode(notebook.cells[1].outputs[0].data["image/png"])[1:4] == b"PNG"
    outcome = nbval(path)
    assert outcome.returncode == 0, outcome.stdout
