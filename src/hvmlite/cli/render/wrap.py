"""What was wrapped, and the files that were written."""

from __future__ import annotations

from hvmlite.cli._output import escape
from hvmlite.cli.render._text import address, size, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hvmlite.cli._answer import Document
    from hvmlite.cli._style import Style
    from hvmlite.universal import Universal
    from hvmlite.wire import Buffer

__all__ = ["document", "lines"]


def document(made: Universal, kernel: str, image: str, elf: str | None) -> Document:
    """Return what was done, for ``--json``.

    :param kernel: the file that was wrapped, as the user named it
    :param image: the file that was written
    :param elf: the ELF file, None if it was not asked for
    """
    return {
        "image": escape(image),
        "size": _length(made.image),
        "elf": None if elf is None else {"image": escape(elf), "size": _length(made.elf)},
        "kernel": {
            "image": escape(kernel),
            "kind": made.kind,
            "release": escape(made.release),
            "size": made.kernel_size,
            "address": made.address,
        },
        "initrd_size": made.initrd_size,
        "cmdline": escape(made.cmdline),
    }


def lines(made: Universal, kernel: str, image: str, elf: str | None, style: Style) -> Iterator[str]:
    """Yield the same for people."""
    yield f"{style.paint(escape(image), 'bold')}: {size(_length(made.image))}"
    if elf is not None:
        yield f"{style.paint(escape(elf), 'bold')}: {size(_length(made.elf))}"
    what = f"{escape(made.release) or escape(kernel)}, {made.kind}"
    yield from table(
        [
            ("kernel", f"{what}, {size(made.kernel_size)} for {address(made.address)}"),
            ("initrd", size(made.initrd_size) if made.initrd_size else "none"),
            ("command line", escape(made.cmdline) or "none"),
        ]
    )


def _length(parts: Sequence[Buffer]) -> int:
    return sum(map(len, parts))
