"""The four playgrounds of lesson 05, driven as a reader drives them."""

import ast

from playwright.sync_api import expect

from conftest import cell_with, code_of

SOURCES = code_of(__file__)
TRAINED = """
x_train, y_train, x_test, y_test = data.load_mnist()[:4]
test = data.DataLoader((x_test, y_test), batch_size=500)
lenet = models.LeNet()  # the lesson trains it for a quarter of a minute
lenet.load_state_dict(load(data.checkpoint("cnn_digits1")))
"""


def setup(*names):
    """Give in one cell the lesson's imports, a trained network, and functions by their names."""
    found = {
        node.name: ast.get_source_segment(source, node)
        for source in SOURCES
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    first = SOURCES[0].split("\nimages = ")[0]
    imports = cell_with(SOURCES, "from dlcourse.exercises import cnn as ex")
    return "\n".join([first, imports, TRAINED, *(found[name] for name in names)])


def test_slide_a_kernel_and_edit_it(open_notebook):
    notebook = open_notebook(SOURCES[0])
    notebook.run(0)
    notebook.button("Step").wait_for()
    assert notebook.ask("bool(sliding.state[3].all())")  # the whole map is shown at first
    for count in (1, 2, 3):
        notebook.button("Step").click()
        notebook.wait_until(f"sliding.step_count == {count} and sliding._task is None")
    assert notebook.ask("int(sliding.state[3].sum()), sliding.state[4]") == (3, (0, 2))
    notebook.button("Play").click()
    notebook.wait_until("sliding.step_count > 60")
    notebook.button("Pause").click()
    notebook.wait_until("not sliding.playing")

    kernel, picture = "sliding.controls['kernel'].value", notebook.picture(0)
    notebook.cells.nth(0).locator("select").first.select_option("blur")
    notebook.wait_until("sliding.step_count == 0")
    assert notebook.ask(f"{kernel}[1]") == (0.125, 0.25, 0.125)
    blurred = notebook.picture(0)
    assert blurred != picture

    field = notebook.page.get_by_label("w11")  # the middle one, by keyboard alone
    field.focus()
    field.fill("1.25")
    notebook.page.keyboard.press("Tab")
    notebook.wait_until(f"{kernel}[1][1] == 1.25 and sliding._task is None")
    assert notebook.ask("sliding.controls['kernel'].ready.value") == "your own"
    expect(notebook.says("The weights add up to 2")).to_be_visible()
    assert (
        notebook.ask(
            "float(abs(sliding.state[2] - blur).max())",
            """
blur = sum(k * sliding.state[0][a : a + 94, b : b + 94] for a in range(3) for b in range(3)
           for k in [sliding.controls['kernel'].value[a][b]])""",
        )
        < 1e-6
    )

    notebook.press("row ↺", "ArrowRight", 3)
    notebook.wait_until("sliding.state[4] == (31, 40)")
    assert notebook.picture(0) != blurred


def test_the_calculator_and_the_gradient_agree(open_notebook):
    text = "stacked = Playground("
    notebook = open_notebook(setup(), cell_with(SOURCES, text))
    notebook.run(0)
    notebook.run(1)
    notebook.page.get_by_role("slider", name="kernel 1").wait_for()
    seen, picture = "stacked.state[0][0][1].nonzero()[0].tolist()", notebook.picture(1)
    assert notebook.ask(seen) == list(range(17, 24))
    for name, times, field in (("stride 1", 1, 11), ("stride 2", 1, 15), ("dilation", 1, 29)):
        notebook.press(name, "ArrowRight", times)
        notebook.wait_until(f"stacked.state[1] == {field} and stacked._task is None")
        pixels = notebook.ask(seen)
        assert pixels[-1] - pixels[0] + 1 == field
    assert len(pixels) == 15  # every second one
    expect(notebook.says("with holes: 15 pixels. Target reached!")).to_be_visible()
    assert notebook.picture(1) != picture
    notebook.press("kernel 2", "End", 1)
    expect(notebook.says("does not fit")).to_be_visible()


def test_draw_a_digit_and_train_in_the_laboratory(open_notebook):
    texts = "reading = Playground(", "laboratory = Playground("
    names = "error", "moved", "centre_of_mass", "prepare", "Augmented", "jitter"
    playgrounds = (cell_with(SOURCES, text) for text in texts)
    notebook = open_notebook(setup(*names), *playgrounds)
    for cell in range(3):
        notebook.run(cell)
    canvas = notebook.page.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    assert notebook.ask("int(reading.state[1].argmax())") == 4
    picture = notebook.picture(1)
    notebook.page.get_by_role("button", name="Clear").click()
    expect(notebook.says("Draw a digit on the pad.")).to_be_visible()
    box = canvas.bounding_box()
    for x, y in ((150, 60), (150, 70), (145, 150), (140, 220)):
        notebook.page.mouse.move(box["x"] + x, box["y"] + y, steps=6)
        notebook.page.mouse.down()
    notebook.page.mouse.up()
    notebook.wait_until("reading.state[0].sum() > 20 and reading._task is None")
    assert notebook.ask("int(reading.state[1].argmax())") == 1
    middle = notebook.ask("centre_of_mass(reading.state[0]).round(1).tolist()")
    assert all(abs(place - 14) < 0.2 for place in middle)
    assert notebook.picture(1) != picture

    notebook.button("Play", cell=2).click()
    notebook.wait_until("laboratory.state[1] is not None and laboratory.step_count >= 40", 60)
    notebook.cells.nth(2).get_by_role("checkbox").first.click()  # batch norm: it starts again
    notebook.wait_until(
        "any(isinstance(m, nn.BatchNorm2d) for m in "
        "laboratory._generator.gi_frame.f_locals['model'])"
    )
    notebook.wait_until("laboratory.step_count >= 80", 60)
    notebook.button("Pause", cell=2).click()
    assert notebook.ask("laboratory.state[1][1] < 0.5")
