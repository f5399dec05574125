"""Makes docs/peers.md out of the peers' own tables: ``python tests/peers/page.py`` writes it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from hvmlite import peers

PAGE = Path(__file__).resolve().parents[2] / "docs" / "peers.md"

HEAD = """\
# What other loaders ask of an image

`hvmlite inspect IMAGE --for PEER` goes by these tables and runs nothing of the peers. This page is
made from them (`python tests/peers/page.py`), `--json` has them as `peers[].requirements`. A row
says what the peer needs, what it says itself where that is fixed, and where it was read.

The judges of the tests: QEMU and GRUB start or refuse the same files, and Xen's libxenguest parses
them, for which it needs no hypervisor. For Firecracker and Cloud Hypervisor there is no such judge
on Debian: the walk of their loader over notes is held against the cases of its own issues.

`any` is for all ways of the peer. Whether there is RAM where an image wants to lie is not asked.
"""

NOTES = {
    "qemu": """It takes the first of these that it recognises: HdrS (linux16), a multiboot header,
        ELF with a PHYS32_ENTRY note (pvh). Everything else is run as a kernel of before boot
        protocol 2.00, which ends in nothing. Its walk over notes takes p_align for the packing and
        goes on behind the segment's end.""",
    "xen": """The guest's configuration says `type = "pvh"` or `"pv"`. Several things close PVH that
        the text of the ABI does not speak of: a PADDR_OFFSET note without VIRT_BASE, an INIT_P2M
        inside the image, a required feature without a name. An ELF32 without valid notes is taken
        for an HVM guest's firmware and entered at e_entry; that is no way of kernels and not
        counted.""",
    "firecracker": """An ELF without the note is entered as Linux at e_entry in 64-bit mode,
        whatever it is.""",
    "cloud-hypervisor": """An ELF without the note is refused; a bzImage is entered in 32-bit
        mode.""",
    "grub": """Each command is tried by itself. GRUB's own `grub-file` looks at less: it knows the
        headers alone, and calls files good that the commands refuse.""",
}


def render() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for peer in peers.PEERS:
        parts.append(
            f"\n## {peer.NAME}\n\n{_about(peer.__doc__ or '')}\n\n{_wrapped(NOTES[peer.NAME])}\n"
        )
        parts.append("\n| way | what | | it says | source |\n|---|---|---|---|---|\n")
        for rule in peers.requirements(peer.NAME):
            cells = (rule.way, rule.what, rule.needed, rule.says, rule.source)
            parts.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n")
    return "".join(parts)


def _wrapped(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 100)


def _about(text: str) -> str:
    return text.strip().replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(render())
