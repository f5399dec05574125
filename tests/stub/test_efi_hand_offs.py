"""What a UEFI firmware tells is what the kernel is told, by every way in that has boot services.

The stub's machine code runs on the emulator, calls the functions of a firmware that was written
from the specification (efi_firmware.py), and is stopped at the kernel's entry, where hvmlite's
decoder of Linux's protocol reads what the kernel would. A seed repeats a failure.
"""

from __future__ import annotations

import gc
import random
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from stub.efi_checks import entered, refused, survived
from stub.efi_hand_offs import efi_hand_off
from stub.efi_runner import EfiRunner
from stub.efi_told import BGR, MASKS, Screen
from stub.efi_worlds import SPOTS, WAYS, drawn_world, efi_world
from stub.hand_offs import RAM
from stub.test_hand_offs import NIGHTLY

BATCH = 40
"""Hand-offs of one image at one place: the code of another one has to be translated first."""
KINDS = pytest.mark.parametrize("kind", ["efi64", "efi32", "handover", "multiboot2"])
EACH_WAY = pytest.mark.parametrize("way", WAYS)
seeds = st.integers(0, (1 << 64) - 1).map(lambda number: number * BATCH)
ERRORS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 19, 21, 26)
"""EFI_STATUS of appendix D, without the error bit, which functions may return."""
MOST_CALLS = 25


def runs(ci, nightly):
    """Settings for so many hand-offs. A smaller seed is no simpler hand-off: nothing is shrunk."""
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    return settings(max_examples=(nightly if NIGHTLY else ci) // BATCH, phases=phases)


@contextmanager
def running(library, world):
    runner = EfiRunner(world, library)
    gc.disable()  # it would look again and again at all that pytest has
    try:
        yield runner
    finally:
        gc.enable()
        runner.close()


def drawn(kind, seed):
    chance = random.Random(seed)
    way = chance.choice([way for way in WAYS if way.startswith(kind)])
    return drawn_world(way, chance), chance


@KINDS
@runs(2_000, 100_000)
@given(seed=seeds)
def test_all_that_uefi_tells_is_handed_on(hand_offs_library, kind, seed):
    world, _ = drawn(kind, seed)
    with running(hand_offs_library, world) as runner:
        for one in range(seed, seed + BATCH):
            given_ = efi_hand_off(world, one)
            entered(runner, given_, runner.start(given_))


@KINDS
@runs(160, 20_000)
@given(seed=seeds)
def test_any_function_may_fail(hand_offs_library, kind, seed):
    """Then the kernel is started without what it can do without, or the start is refused."""
    world, chance = drawn(kind, seed)
    with running(hand_offs_library, world) as runner:
        for one in range(seed, seed + BATCH):
            given_ = efi_hand_off(world, one)
            survived(runner, given_, runner.start(given_, failures(chance)))


def failures(chance):
    """Errors by the number of the call: one, two, or all from one on."""
    first = chance.randrange(MOST_CALLS)
    calls = {first}
    if chance.random() < 0.4:
        calls.add(chance.randrange(MOST_CALLS))
    if chance.random() < 0.1:
        calls.update(range(first, 4 * MOST_CALLS))
    return {number: chance.choice(ERRORS) for number in calls}


@pytest.mark.parametrize("kind", ["handover", "multiboot2"])
@runs(160, 20_000)
@example(seed=1324787640)  # a wrong handle, and a module that is nowhere: Exit comes back
@example(seed=137240)  # a node of almost 4 GiB: each page of it is looked at
@given(seed=seeds)
def test_what_a_loader_says_may_be_damaged(hand_offs_library, kind, seed):
    """By multiboot2's information, or a zero page and its list; never is there an exception."""
    world, chance = drawn(kind, seed)
    with running(hand_offs_library, world) as runner:
        for one in range(seed, seed + BATCH):
            given_ = damaged(efi_hand_off(world, one), chance)
            survived(runner, given_, runner.start(given_))


FIELDS = (0x1C0, 0x1C8, 0x1D0, 0x1D4, 0x1E8, 0x1EF, 0x202, 0x210, 0x211, 0x218, 0x21C, 0x228, 0x250,
          0x254, 0xC0, 0xC4, 0xC8)  # fmt: skip
"""Of the zero page, where most of it means nothing."""


def damaged(given_, chance):
    """With other words in what a loader has written."""
    told = [p for p in given_.plan.pieces if p.name.startswith(("information", "zero", "node"))]
    changed = {}
    for _ in range(chance.choice((1, 1, 2, 4))):
        piece = chance.choice(told)
        data = changed.setdefault(piece.name, bytearray(piece.data))
        at = chance.randrange(len(data)) & (-1 if chance.random() < 0.3 else -4)
        if piece.name == "zero page" and chance.random() < 0.8:
            at = chance.choice(FIELDS)
        few = (0, 1, 65, 0xFF, 0x1000, 1025, 1 << 31, 0xFFFFFFFF, chance.getrandbits(32))
        near = (
            given_.world.start,
            given_.world.loaded[0],
            given_.world.stack[0],
            piece.start,
            RAM[0].end,
        )
        value = (chance.choice(few + near) & 0xFFFFFFFF).to_bytes(4, "little")
        data[at : at + 4] = value[: chance.choice((1, 4))]
    pieces = tuple(
        replace(piece, data=bytes(changed.get(piece.name, piece.data))[: piece.end - piece.start])
        for piece in given_.plan.pieces
    )
    return replace(given_, plan=replace(given_.plan, pieces=pieces))


def kept(library, world, seeds_=range(5), **told):
    with running(library, world) as runner:
        for seed in seeds_:
            given_ = efi_hand_off(world, seed, **told)
            entered(runner, given_, runner.start(given_))


@EACH_WAY
def test_functions_are_called_with_an_aligned_stack(hand_offs_library, way):
    """Those of 32-bit firmware were not (UEFI 2.10, 2.3.2): efi_firmware.py looks."""
    kept(hand_offs_library, efi_world(way))


@EACH_WAY
def test_the_console_s_screen_is_chosen_though_it_has_no_interface(hand_offs_library, way):
    """EDK2 installs EFI_CONSOLE_OUT_DEVICE_GUID without one; the first screen was taken then."""
    first = Screen(0xC0000000, 640, 480, BGR, (0,) * 4, 640, None, None)
    console = Screen(0xD0000000, 800, 600, MASKS, (0xF800, 0x7E0, 0x1F, 0), 832, 0, None)
    kept(hand_offs_library, efi_world(way), screens=[first, console])


@pytest.mark.parametrize("way", ["handover64", "handover32"])
def test_a_zero_page_with_the_file_s_first_sectors(hand_offs_library, way):
    """GRUB's linuxefi copies them, "MZ" and all: 32-bit handovers were taken for PE entries."""
    kept(hand_offs_library, efi_world(way), copied=True, loader=0x21, options="quiet")


def test_a_refusal_gives_back_no_initrd_of_a_loader(hand_offs_library):
    """The handover's was freed where its setup_data was wrong; efi_services.py looks."""
    for way in ("handover64", "handover32"):
        told = {"modules": [b"initrd"], "setup_data": [(2, b"node")], "copied": False}
        given_ = efi_hand_off(efi_world(way), 1, **told)
        page = next(piece for piece in given_.plan.pieces if piece.name == "zero page")
        data = bytearray(page.data)
        data[0x250:0x258] = (1 << 46).to_bytes(8, "little")
        pieces = [
            p if p is not page else replace(page, data=bytes(data)) for p in given_.plan.pieces
        ]
        given_ = replace(given_, plan=replace(given_.plan, pieces=tuple(pieces)))
        with running(hand_offs_library, given_.world) as runner:
            line = refused(runner, given_, runner.start(given_))
            assert line.startswith("hvmlite: efi: setup_data: 0x400000000000, an address that ")
            assert "FreePages" not in runner.firmware.calls


@EACH_WAY
def test_the_kernel_s_place_is_taken_while_boot_services_end(hand_offs_library, way):
    """A firmware may allocate memory in ExitBootServices: what was free before is not any more."""
    world = efi_world(way, spot=SPOTS[2] + 0x1000)
    at = world.params.kernel_address
    for changes in (1, 3):
        kept(hand_offs_library, world, map_changes=changes, map_grows=1, map_takes=at)


@EACH_WAY
def test_the_kernel_finds_the_firmware_s_map_on_our_page_tables(hand_offs_library, way):
    """Linux 4.14 to 5.8 reads it there, for KASLR; entered() looks. It was not mapped."""
    kept(hand_offs_library, efi_world(way), range(20))
