from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from gym_queue.runners.local.boxes import draw_box, parse_arms
from gym_queue.runners.local.glyphs import CELL_HEIGHT, CELL_WIDTH, Glyphs
from gym_queue.runners.local.render import BACKGROUND, FOREGROUND, Renderer, cell_at, grid_of
from gym_queue.runners.png import assemble, compress_band
from tests.unit.runners.terminals import FedScreen


def draw(text: str, resolution: tuple[int, int] = (205, 103)) -> np.ndarray:
    """The image of a screen of 20 by 5 cells, its margins included."""
    png = Renderer(resolution).render(FedScreen(*grid_of(resolution)).feed(text).screen)
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", resolution)
    return np.asarray(image)


def cell(image: np.ndarray, column: int, line: int) -> np.ndarray:
    return image[
        line * CELL_HEIGHT : (line + 1) * CELL_HEIGHT, column * CELL_WIDTH : (column + 1) * CELL_WIDTH
    ]


@pytest.mark.parametrize("resolution", [(1280, 720), (1, 1), (15, 7), (333, 41)])
def test_the_image_has_exactly_the_asked_size(resolution):
    draw("x", resolution)


def test_a_png_of_bands_decodes_to_the_pixels_it_was_made_of():
    pixels = np.random.default_rng(1).integers(0, 256, (50, 30, 3), np.uint8)
    png = assemble(30, 50, [compress_band(part) for part in np.split(pixels, [1, 20])])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), pixels)


def test_an_unchanged_screen_is_not_encoded_again_and_a_changed_one_is():
    terminal, renderer = FedScreen(), Renderer((200, 100))
    first = renderer.render(terminal.feed("abc").screen)
    assert renderer.render(terminal.screen) is first
    assert renderer.render(terminal.feed("d").screen) != first


def test_an_image_of_reused_rows_equals_one_drawn_afresh():
    terminal, renderer = FedScreen(), Renderer((200, 100))
    for n in range(30):
        png = renderer.render(terminal.feed(f"\x1b[3{n % 8}mline {n}\r\n").screen)
    assert png == Renderer((200, 100)).render(terminal.screen)


def test_the_cursor_is_a_block_unless_hidden():
    assert (cell(draw(""), 0, 0) == FOREGROUND).all()
    assert (cell(draw("\x1b[?25l"), 0, 0) == BACKGROUND).all()


def test_reverse_and_true_colours_fill_the_cell():
    assert (cell(draw("\x1b[48;2;1;2;3m  "), 1, 0) == (1, 2, 3)).all()
    assert (cell(draw("\x1b[7m  "), 1, 0) == FOREGROUND).all()


@pytest.mark.parametrize("style", ["1", "3", "4", "9", "2"])
def test_each_style_changes_the_picture(style):
    assert not np.array_equal(draw(f"\x1b[{style}mgj\x1b[m"), draw("gj"))


def test_a_wide_character_without_a_glyph_is_a_visible_box_of_two_cells_that_keeps_the_grid():
    image = draw("漢X")
    assert (cell(image, 0, 0) == FOREGROUND).any()
    assert (cell(image, 1, 0) == FOREGROUND).any()
    assert np.array_equal(cell(image, 2, 0), cell(draw("X "), 0, 0))


@pytest.mark.parametrize("char", [chr(code) for code in range(0x2500, 0x25A0)])
def test_every_box_and_block_character_is_drawn(char):
    mask = draw_box(char, CELL_WIDTH, CELL_HEIGHT)
    assert mask is not None
    assert mask.shape == (CELL_HEIGHT, CELL_WIDTH)
    assert mask.any()


@pytest.mark.parametrize("line", ["──", "━━", "══", "┼┼", "╬═", "┬┴", "╋━", "╭╮"])
def test_horizontal_lines_join_across_cells(line):
    left, right = (draw_box(char, CELL_WIDTH, CELL_HEIGHT) for char in line)
    assert left is not None
    assert right is not None
    assert np.array_equal(left[:, -1], right[:, 0])
    assert left[:, -1].any()


@pytest.mark.parametrize("line", ["││", "┃┃", "║║", "┌│", "╔║", "├└", "╭│"])
def test_vertical_lines_join_across_cells(line):
    upper, lower = (draw_box(char, CELL_WIDTH, CELL_HEIGHT) for char in line)
    assert upper is not None
    assert lower is not None
    assert np.array_equal(upper[-1], lower[0])
    assert upper[-1].any()


def test_weights_of_arms_are_read_before_and_after_their_names():
    assert parse_arms("LIGHT LEFT AND HEAVY RIGHT") == {"left": "light", "right": "heavy"}
    assert parse_arms("DOWN LIGHT AND RIGHT HEAVY") == {"down": "light", "right": "heavy"}
    assert parse_arms("VERTICAL SINGLE AND LEFT DOUBLE") == {"up": "light", "down": "light", "left": "double"}


def test_characters_fit_their_cells():
    glyphs = Glyphs()
    assert glyphs.mask("M", 1, bold=True).shape == (CELL_HEIGHT, CELL_WIDTH)
    assert not glyphs.mask("M", 1)[:2].any()
    assert glyphs.mask("g", 1)[-5:].any()


def test_a_pixel_belongs_to_its_cell_and_margins_to_the_last():
    assert grid_of((1285, 725)) == (128, 36)
    assert cell_at(19, 20, (128, 36)) == (1, 1)
    assert cell_at(1284, 724, (128, 36)) == (127, 35)
