"""The committed table: it is what page.py makes, and has a cell for every start."""

from __future__ import annotations

from loaders import page
from loaders.rows import KERNELS, LOADERS


def test_it_is_what_is_made_of_its_cells():
    table = page.PAGE.read_text().split(page.BEGIN)[1].split(page.END)[0]
    assert table == page.render(page.cells())


def test_every_start_is_in_it():
    wanted = {(each.row, kernel) for each in LOADERS for kernel in each.kernels}
    cells = page.cells()
    assert {key for key, cell in cells.items() if cell} == wanted
    assert set(cells) == {(each.row, kernel) for each in LOADERS for kernel in KERNELS}


def test_no_two_rows_have_one_name():
    assert len({each.row for each in LOADERS}) == len(LOADERS)


def test_a_row_is_compared_with_one_that_there_is():
    keys = {each.key for each in LOADERS}
    assert {each.like for each in LOADERS if each.like} <= keys
