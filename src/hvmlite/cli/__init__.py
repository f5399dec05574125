"""The command line, the only room that prints.

A verb is one module, named in :data:`VERBS`, with `add_arguments(parser)` and `run(args)`, which
returns an :class:`hvmlite.cli._answer.Answer`. It imports what is heavy inside `run`: a start of
``hvmlite --help`` pays for no verb, and ``hvmlite VERB --help`` for that verb's options only.
"""

from __future__ import annotations

import gc
import sys

from hvmlite import __version__
from hvmlite.cli import _output

TYPE_CHECKING = False  # type checkers believe it by its name; importing typing costs 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERBS", "main"]

# (name, help in one line, module), in the order of --help: what people do most comes first.
VERBS: tuple[tuple[str, str, str], ...] = (
    ("run", "boot an image and show its console", "hvmlite.cli.run"),
    ("plan", "show everything that run would do, and do nothing", "hvmlite.cli.plan"),
    ("inspect", "what an image is, its ways in, and why not the others", "hvmlite.cli.inspect"),
    ("matrix", "boot images by every way in, compare what the guests saw", "hvmlite.cli.matrix"),
    ("wrap", "make one image of a Linux kernel that every loader can start", "hvmlite.cli.wrap"),
    ("engines", "which engines can run here, and what others lack", "hvmlite.cli.engines"),
)

_USAGE = "usage: hvmlite VERB [OPTION]...\n       hvmlite [VERB] --help | --version\n"
_EPILOGUE = """
exit status:
  0 fine   3 not available here   4 error   5 the guest failed   6 no verdict in time
  1 a bug in hvmlite   2 wrong usage   128+N ended by signal N
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    :param argv: the arguments without the program's name; if None those of the process, which
        then ends here
    """
    status = _main(list(sys.argv[1:] if argv is None else argv), last=argv is None)
    if argv is None:
        # Engines are closed, all is written: taking the interpreter apart takes time for nothing.
        _output.leave(status)
    return status


def _main(arguments: list[str], *, last: bool) -> int:
    _output.prepare()
    try:
        return _dispatch(arguments, last=last)
    except KeyboardInterrupt:  # before or after the time that _execute watches over
        _output.complain("hvmlite: interrupted")
        return 130
    except OSError as error:  # --help into a full disk
        _output.complain(f"hvmlite: error: stdout: {(error.strerror or str(error)).lower()}")
        return 4


def _dispatch(arguments: list[str], *, last: bool) -> int:
    # last: the process ends afterwards
    first = arguments[0] if arguments else ""
    for name, _, module in VERBS:
        if first == name:
            if last:
                gc.disable()  # until the verb runs: what is imported stays
            from hvmlite.cli._execute import execute

            return execute(name, module, arguments[1:], last=last)
    if first in ("-h", "--help"):
        return _output.write(_help())
    if first == "--version":
        return _output.write(f"hvmlite {__version__}\n")
    found = f"{first!a} is no verb" if first else "no verb given"
    names = ", ".join(name for name, _, _ in VERBS)
    _output.complain(f"{_USAGE}hvmlite: error: {found}, needed one of {names}")
    return 2


def _help() -> str:
    verbs = "".join(f"  {name:<10}{text}\n" for name, text, _ in VERBS)
    about = 'Boots x86 images by any entry ABI they offer: PVH ("HVMlite"), Linux, multiboot.\n'
    more = "\n`hvmlite VERB --help` lists the options of a verb; every verb has --json.\n"
    return f"{_USAGE}\n{about}\nverbs:\n{verbs}{more}{_EPILOGUE}"
