"""The four playgrounds of lesson 04, driven as a reader drives them."""

from playwright.sync_api import expect

from conftest import cell_with, code_of

SOURCES = code_of(__file__)


def test_the_race(open_notebook):
    notebook = open_notebook(SOURCES[0])
    notebook.run(0)
    notebook.button("Step").wait_for()
    places = "{name: p.tolist() for name, p in racing.state[1].items()}"
    begin = notebook.ask(places)
    assert len({tuple(place) for place in begin.values()}) == 1  # all at the start
    for count in (1, 2):
        notebook.button("Step").click()
        notebook.wait_until(f"racing.step_count == {count} and racing._task is None")
    assert len({tuple(place) for place in notebook.ask(places).values()}) == 5
    picture = notebook.picture(0)
    notebook.button("Play").click()
    notebook.wait_until("racing.step_count > 30")
    notebook.button("Pause").click()
    notebook.wait_until("not racing.playing")
    assert notebook.picture(0) != picture
    heights = notebook.ask("racing.state[2]")
    assert all(height < 14 for height in heights.values())
    expect(notebook.says("is lowest, at height")).to_be_visible()


def test_a_rate_too_large_throws_a_ball_out(open_notebook):
    notebook = open_notebook(SOURCES[0])
    notebook.run(0)
    notebook.button("Step").wait_for()
    notebook.press("rate of SGD", "ArrowRight", 5)  # from 0.0158 to 0.0501, beyond the edge
    notebook.wait_until("f\"{racing.controls['SGD'].value:.3g}\" == '0.0501'")
    for count in (1, 2, 3):
        notebook.button("Step").click()
        notebook.wait_until(f"racing.step_count == {count} and racing._task is None")
    expect(notebook.says("Diverged: SGD.")).to_be_visible()


def test_another_surface_brings_its_own_start_and_rates(open_notebook):
    notebook = open_notebook(SOURCES[0])
    notebook.run(0)
    notebook.button("Step").wait_for()
    first = notebook.picture(0)
    rates = "[c.value for name, c in racing.controls.items() if name in dials]"
    usual = notebook.ask(rates)
    notebook.cells.nth(0).locator("select").first.select_option("a network's loss")
    notebook.wait_until("racing.view.surface is network_slice() and racing._task is None", 60)
    assert notebook.ask(rates) != usual
    assert notebook.picture(0) != first
    start = notebook.ask("racing.state[2]['SGD']")
    assert 2 < start < 2.4  # near the hilltop, where a network only guesses
    notebook.button("Play").click()
    notebook.wait_until("racing.step_count > 40", 60)
    notebook.button("Pause").click()
    notebook.wait_until("not racing.playing")
    assert notebook.ask("racing.state[2]['SGD']") < 0.35  # in a valley


def test_the_walk_in_the_fog_and_the_hops(open_notebook):
    hike, hops = cell_with(SOURCES, "hiking = "), cell_with(SOURCES, "hopping = ")
    notebook = open_notebook(SOURCES[0], hike, hops)
    for cell in range(3):
        notebook.run(cell)
    notebook.page.get_by_role("slider", name="first weight").wait_for()
    height, picture = notebook.ask("hike.height"), notebook.picture(1)
    known = notebook.ask("int(hike.known.sum())")
    notebook.press("first weight", "ArrowRight", 20)
    notebook.wait_until(f"hike.height < {height} and hiking._task is None")
    assert notebook.ask("int(hike.known.sum())") > known  # the fog lifts where one has been
    seen = notebook.picture(1)
    assert seen != picture
    notebook.page.get_by_label("lift the fog").check()
    notebook.wait_until("hiking.state[1] and hiking._task is None")
    assert notebook.picture(1) != seen

    before = notebook.ask("float(hopping.state[1][-1])")
    picture = notebook.picture(2)
    notebook.press("rate η", "ArrowRight", 50)  # from 0.05 to 0.55, beyond 2/4
    notebook.wait_until("hopping.state[0] > 0.54 and hopping._task is None")
    assert abs(notebook.ask("float(hopping.state[1][-1])")) > 1 > abs(before)
    assert notebook.picture(2) != picture


def test_the_batch_size_acts_while_it_trains(open_notebook):
    needed = [SOURCES[0], cell_with(SOURCES, "import IntSlider"), cell_with(SOURCES, "x_train, ")]
    notebook = open_notebook(*needed, cell_with(SOURCES, "noising = "))
    for cell in range(4):
        notebook.run(cell)
    play = notebook.button("Play", cell=3)
    play.wait_for()
    first = notebook.ask("noising.state[2]")
    play.click()
    notebook.wait_until("noising.step_count > 150")
    notebook.press("batch size", "ArrowRight", 10)
    notebook.wait_until("noising.controls['batch_size'].value > 8 and noising.playing")
    notebook.button("Pause", cell=3).click()
    notebook.wait_until("not noising.playing")
    assert notebook.ask("noising.state[2]") < 0.9 * first
