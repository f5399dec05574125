"""Makes the README's table of loaders out of what the tests saw."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":  # the folders that pytest knows of
    sys.path[:0] = [str(ROOT / folder) for folder in ("src", "tests", "tools")]

from hvmlite.spec.linux import BootParams  # noqa: E402  # behind the path
from loaders.rows import KERNELS, LOADERS  # noqa: E402

if TYPE_CHECKING:
    from hvmlite.matrix.report import Report
    from loaders.rows import Loader

PAGE = ROOT / "README.md"
RESULTS = ROOT / "build" / "loaders"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
NO = "no"
ADVICE = "what is seen is not what the table says: python tests/loaders/page.py"


def entry(told: Report) -> str:
    """What the guest's zero page says of its start."""
    params = BootParams.unpack(told.boot_params)
    number = params.hdr.type_of_loader
    said = [f"{number:#04x}"]
    signature = bytes(told.boot_params[0x1C0:0x1C4])
    if any(signature):
        said.append(signature.decode("latin-1"))
    if told.framebuffer:
        said.append("frame buffer")
    return ", ".join(said)


def keep(loader: Loader, kernel: str, cell: str) -> None:
    """Write down what was seen, for this page."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{loader.row} {kernel}.json".replace("/", "-")
    path.write_text(json.dumps({"row": loader.row, "kernel": kernel, "cell": cell}) + "\n")


def cells() -> dict[tuple[str, str], str]:
    """The table as it is committed: a cell by row and kernel."""
    found = {}
    rows = [line for line in _table().splitlines() if line.startswith("| ")]
    for line in rows[1:]:
        name, command, file, *rest = (part.strip() for part in line.strip("|").split("|"))
        for kernel, cell in zip(KERNELS, rest, strict=False):
            found[f"{name} {command.strip('`')} {file}", kernel] = re.sub(r" ?\(\d+\)$", "", cell)
    return found


def cell(loader: Loader, kernel: str) -> str | None:
    """What the committed table says of one start."""
    return cells().get((loader.row, kernel))


def _table() -> str:
    return PAGE.read_text().split(BEGIN)[1].split(END)[0]


def render(seen: dict[tuple[str, str], str]) -> str:
    """The table, and below it the reasons of what cannot work."""
    head = ("loader", "by", "file", *KERNELS)
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    reasons: list[str] = []
    for each in LOADERS:
        row = []
        for kernel in KERNELS:
            cell = seen.get((each.row, kernel), "") if kernel in each.kernels else ""
            no = each.refusal(kernel)
            if no and no.reason not in reasons:
                reasons.append(no.reason)
            row.append(f"{cell} ({reasons.index(no.reason) + 1})" if no and cell else cell)
        lines.append(f"| {' | '.join((each.name, f'`{each.command}`', each.file, *row))} |")
    lines += ["", *(f"{number}. {reason}." for number, reason in enumerate(reasons, 1))]
    return "\n".join(lines) + "\n"


def main() -> None:
    seen = cells()
    for path in RESULTS.glob("*.json"):
        result = json.loads(path.read_text())
        seen[result["row"], result["kernel"]] = result["cell"]
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + render(seen) + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
