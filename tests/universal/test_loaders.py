"""What real loaders think of the two files; that they start them is tests/loaders' to see."""

from __future__ import annotations

import pytest

from hvmlite import boot, peers
from hvmlite.model import Offer, Refusal
from peers.grub_itself import ask
from peers.xen_itself import DomainBuilder
from universal.wrapped import MIB, REAL, parse, real, wrap

NAMES = {"xen", "qemu", "firecracker", "cloud-hypervisor", "grub"}


@pytest.fixture(scope="module")
def files(kernels):
    """Both files of each kernel, and of one with an initrd that moves the kernel's place up."""
    found = {}
    for name in REAL:
        made = wrap(real(kernels, name), cmdline=b"x")
        found |= {name: made.image_bytes(), f"{name}.elf": made.elf_bytes()}
    made = wrap(real(kernels, "6.1-cloud"), bytes(40 * MIB))
    return found | {"big": made.image_bytes(), "big.elf": made.elf_bytes()}


def test_xens_domain_builder_takes_both_as_pvh(files, tmp_path):
    builder = DomainBuilder(tmp_path)
    for name, data in files.items():
        ways, said = builder.ask(data)
        assert ways == ("pvh",), f"{name}: {said}"
        assert "Found PVH image" in said


@pytest.mark.slow
def test_grub_loads_them_at_addresses_of_single_pages(files, tmp_path):
    # pref_address and kernel_alignment are no multiples of 2 MiB.
    for name, answers in ask(files, tmp_path).items():
        if name.endswith(".elf"):
            assert answers["multiboot2"] == "", name
            assert "no multiboot header found" in answers["multiboot"]
        else:
            assert answers == dict.fromkeys(("linux", "linux16", "multiboot", "multiboot2"), "")


@pytest.mark.parametrize("name", REAL)
def test_inspect_shows_every_way_in(files, name):
    answers = {each.protocol: each for each in boot.offers(parse(files[name]))}
    closed = {name for name, each in answers.items() if isinstance(each, Refusal)}
    assert closed == {"efi", "xen_pv"}
    # UEFI starts programs from disks only: what it would enter is told all the same.
    (reason,) = answers["efi"].reasons
    assert "its services needed at the entry point, RVA 0x6000" in str(reason)
    answers = boot.offers(parse(files[f"{name}.elf"]))
    ways = {each.protocol for each in answers if isinstance(each, Offer)}
    assert ways == {"pvh", "linux64", "multiboot2"}
    for each in (files[name], files[f"{name}.elf"]):
        facts = dict(parse(each).facts)
        assert facts["universal image"] == "version 1 of hvmlite's stub"
        assert facts["built-in command line"] == "x"
        assert facts["built-in initrd"] == "none"
        assert facts["wrapped kernel"].startswith(name.partition("-")[0])


def test_the_peers_rules_say_the_same(files):
    for name, data in files.items():
        found = peers.verdicts(parse(data))
        assert {each.peer: each.starts for each in found} == dict.fromkeys(NAMES, True), name
        warnings = [text for each in found for text in each.warnings]
        if name.endswith(".elf"):
            assert warnings == []
        else:
            (old,) = warnings
            assert old.startswith("Firecracker of before July 2026 takes ELF alone")
