"""Lesson 03's four playgrounds, driven by clicks."""

from playwright.sync_api import expect

from conftest import cell_with, code_of

SOURCES = code_of(__file__)


def test_stepping_through_the_graph(open_notebook):
    notebook = open_notebook(SOURCES[0])
    notebook.run(0)
    notebook.button("Step").wait_for()
    for count in range(1, 16):  # seven operations forward, the turn, seven back
        notebook.button("Step").click()
        notebook.wait_until(f"graph_playground.step_count == {count}")
        if count == 7:
            assert notebook.ask("graph_playground.state.known['L']") == 4
            assert notebook.ask("graph_playground.state.flow") == {}
            forward = notebook.picture(0)
    assert notebook.ask("graph_playground.state.flow['w1', 'p1']") == 12
    expect(notebook.says("to w1: 4 × 3 = 12")).to_be_visible()
    assert notebook.picture(0) != forward

    notebook.press("first weight ↺", "ArrowRight")
    notebook.wait_until("graph_playground.step_count == 0")
    assert notebook.ask("graph_playground.state.known['w1']") == 1.25

    notebook.cells.nth(0).locator("select").select_option("a number used twice")
    notebook.wait_until("graph_playground.state.graph == 'a number used twice'")
    notebook.button("Play").click()
    notebook.wait_until("len(graph_playground.state.losses) >= 3")
    notebook.button("Pause").click()
    losses = notebook.ask("graph_playground.state.losses")
    assert losses[2] < losses[1] < losses[0]


def test_microscope_blame_and_deep_stack(open_notebook):
    shown = [f"{name} = Playground(" for name in ("microscope", "travelling", "stack_lab")]
    earlier = SOURCES[: SOURCES.index(cell_with(SOURCES, shown[2]))]
    setup = "\n".join(source for source in earlier if "ex." not in source)
    notebook = open_notebook(setup, *(cell_with(SOURCES, text) for text in shown))
    for cell in range(4):
        notebook.run(cell)
    notebook.wait_for_kernel()

    before = notebook.picture(1)
    notebook.press("epsilon", "ArrowLeft", 16)
    notebook.wait_until("microscope.state[1] < 1.1e-5")
    rough = notebook.ask("float(abs(microscope.view.slope / true_slopes[AT] - 1))")
    assert notebook.picture(1) != before
    notebook.cells.nth(1).locator("select").select_option("float64")
    notebook.wait_until("microscope.state[0] == 'float64'")
    fine = notebook.ask("float(abs(microscope.view.slope / true_slopes[AT] - 1))")
    assert fine < 1e-6 < 1e-3 < rough

    before = notebook.picture(2)
    for count in range(1, 6):
        notebook.button("Step", cell=2).click()
        notebook.wait_until(f"travelling.step_count == {count}")
    assert notebook.ask("travelling.state[1]") == 1  # four stages of one digit, then the next
    assert notebook.picture(2) != before
    digit = notebook.ask("travelling.state[0]")
    notebook.cells.nth(2).get_by_role("checkbox").click()
    notebook.wait_until("travelling.step_count == 0")
    assert notebook.ask("travelling.state[0]") == 0 != digit

    before = notebook.picture(3)
    notebook.press("gain", "ArrowRight", 33)
    notebook.wait_until("abs(stack_lab.state[1] - 2) < 1e-9")
    expect(notebook.says("Both get through.")).to_be_visible()
    assert notebook.picture(3) != before
