"""Boot an image and show its console; on a terminal, Ctrl-A X leaves.

Standard input goes to the guest, but not with --json. What follows -- goes to the engine's program
as it is. Exit status: 0 the guest powered off, rebooted or exited with 0, or you left by Ctrl-A X;
3 the engine cannot run here; 4 error; 5 the guest failed; 6 no verdict in time; 130 SIGINT, 143
SIGTERM, 141 the console's reader has gone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from hvmlite.cli import _options, _output

if TYPE_CHECKING:
    import argparse

    from hvmlite.boot import Run
    from hvmlite.cli._answer import Answer
    from hvmlite.model import Image, Outcome

__all__ = ["add_arguments", "run"]

_ERROR = 4
_READER_GONE = 141  # as of a program that SIGPIPE ended


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    _options.add_guest_arguments(parser)
    _options.add_run_arguments(parser)
    _options.add_limit_arguments(parser)


def run(args: argparse.Namespace) -> Answer:
    """Run the guest to its end."""
    from hvmlite import boot
    from hvmlite.cli._progress import progress

    with progress(f"preparing {args.image}", quiet=args.quiet):
        image = boot.open_image(args.image, _options.limits(args))
        guest = boot.run(
            image,
            **_options.guest_keywords(args, image),
            accelerator=args.accel,
            extra=args.extra,
            gdb=args.gdb,
        )
    with guest:
        _warn(guest, args)
        end = _watch(guest, args)
    return _answer(args, image, guest, end)


def _answer(args: argparse.Namespace, image: Image, guest: Run, end: _End) -> Answer:
    from functools import partial

    from hvmlite.cli._answer import Answer  # only now: no guest waited for this import
    from hvmlite.cli.render import run as view

    status = view.status(end.outcome) if end.status is None else end.status
    if status or not args.quiet:
        _finish_line(guest, args)
        _output.complain(f"hvmlite: {end.text(guest)}")
    if hint := _hint(guest, image, end.outcome):
        _output.complain(f"hvmlite: hint: {hint}")
    document = partial(view.document, guest, args.image, end.outcome)
    return Answer(document, lambda _: (), status)


def _warn(guest: Run, args: argparse.Namespace) -> None:
    if args.quiet:
        return
    for item in guest.plan.dropped:
        text = _output.escape(f"{item.field}: {item.reason}")
        _output.complain(f"hvmlite: warning: {guest.protocol} cannot carry {text}")
    if args.gdb is not None:
        _output.complain(f"hvmlite: the guest waits for gdb: target remote localhost:{args.gdb}")


class _End(NamedTuple):
    # How it ended; status and words where they are not the outcome's own.
    outcome: Outcome
    status: int | None = None
    words: str = ""

    def text(self, guest: Run) -> str:
        from hvmlite.cli.render import run as view

        return self.words or view.line(self.outcome, guest.timing)


def _watch(guest: Run, args: argparse.Namespace) -> _End:
    from hvmlite.cli._signals import Stop
    from hvmlite.engines import terminal
    from hvmlite.errors import EngineLost
    from hvmlite.model import Ending

    try:
        outcome = terminal.attach(
            guest.session, stdin=_stdin(args), stdout=2 if args.json else 1, timeout=args.timeout
        )
        return _End(guest.ended(outcome))
    except EngineLost:
        _finish_line(guest, args)
        raise
    except Stop as stop:
        return _End(guest.ended(guest.session.stop(Ending.INTERRUPTED)), stop.status, stop.text)
    except OSError as error:  # what the guest says cannot be written any more
        outcome = guest.ended(guest.session.stop(Ending.INTERRUPTED))
        if isinstance(error, BrokenPipeError):
            words = "the console's reader has gone"
            return _End(outcome, _READER_GONE, f"error: {words}, the guest was stopped")
        words = (error.strerror or str(error)).lower()
        return _End(outcome, _ERROR, f"error: console: {words}, the guest was stopped")


def _stdin(args: argparse.Namespace) -> int:
    # A terminal belongs to the guest only if the guest's answers are seen on it; -1 reads nothing.
    if args.json or sys.stdin is None:
        return -1
    if _output.is_terminal(sys.stdin) and not _output.is_terminal(sys.stdout):
        return -1
    return 0


def _finish_line(guest: Run, args: argparse.Namespace) -> None:
    # Our words start on a line of their own where they stand in one stream with the guest's.
    last = guest.console.chunks[-1:]
    on_stdout = sys.stdout is None or sys.stdout.isatty()
    one_stream = args.json or (_output.is_terminal(sys.stderr) and on_stdout)
    if one_stream and last and not last[0].data.endswith(b"\n"):
        _output.complain("")


def _hint(guest: Run, image: Image, outcome: Outcome) -> str | None:
    # A Linux that was not told about the serial port looks like one that hangs.
    from hvmlite.model import Ending

    if outcome.kind is not Ending.TIMEOUT or guest.session.console.text():
        return None
    line = guest.plan.boot_info.cmdline
    if b"console=" in line or not _options.is_linux(image):
        return None
    better = _output.escape(line + b" ").lstrip() + _options.LINUX_CMDLINE
    return f"the guest said nothing and its command line has no console=, try -a '{better}'"
