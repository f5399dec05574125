"""One verb from its arguments to the exit status; every error is caught and shown here."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import os
import sys

import hvmlite
from hvmlite.cli import _output
from hvmlite.cli._signals import Stop, ignore, stops
from hvmlite.errors import HvmliteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import NoReturn

    from hvmlite.cli._answer import Answer, Document

__all__ = ["execute"]

_BUG_STATUS = 1  # Python's own for an exception that nobody caught
_USAGE_STATUS = 2  # argparse's
_ERROR_STATUS = HvmliteError.exit_status


class _UsageError(Exception):
    """The command line cannot be understood."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, up to 100 columns."""

    def __init__(self, prog: str) -> None:
        # Given a width, argparse does not import shutil and through it four compressors.
        super().__init__(prog, max_help_position=26, width=min(_columns(), 100) - 2)


class _Parser(argparse.ArgumentParser):
    """argparse, but with our own way to complain."""

    def error(self, message: str) -> NoReturn:
        raise _UsageError(message)

    def print_help(self, file: object = None) -> None:
        _output.write(self.format_help())


def execute(name: str, module: str, arguments: list[str], *, last: bool = False) -> int:
    """Run the verb `name`, which `module` implements, and return the exit status.

    :param last: the process ends afterwards, so signals need not be as they were
    """
    own, extra = _split(arguments)
    show = _Complaints(as_json="--json" in own, debug="--debug" in own)
    try:
        with stops(last=last):
            verb = importlib.import_module(module)
            parser = _parser(name, verb)
            try:
                args = _parse(parser, own, extra)
            except _UsageError as error:
                return show.usage(parser.format_usage(), str(error))
            except SystemExit:  # after --help
                return 0
            if last:
                gc.enable()  # cli.main switched it off
            answer = verb.run(args)
        status = _show(answer, args.json)
        if last:
            ignore()
        return status
    except Stop as stop:
        return show.stop(stop)
    except HvmliteError as error:
        return show.error(error, str(error), error.hint, error.exit_status)
    except MemoryError as error:
        return show.error(error, "out of memory", None, _ERROR_STATUS)
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        reason = (error.strerror or type(error).__name__).lower()
        return show.error(error, f"{where}{reason}", None, _ERROR_STATUS)
    except Exception as error:
        return show.bug(error)


def _split(arguments: list[str]) -> tuple[list[str], tuple[str, ...]]:
    # What follows the first "--" belongs to the engine's program.
    if "--" not in arguments:
        return arguments, ()
    at = arguments.index("--")
    return arguments[:at], tuple(arguments[at + 1 :])


def _parser(name: str, verb: ModuleType) -> _Parser:
    parser = _Parser(
        prog=f"hvmlite {name}",
        description=verb.__doc__,
        formatter_class=_Formatter,
        allow_abbrev=False,  # a new option must not change what a script's old line means
    )
    verb.add_arguments(parser)
    common = parser.add_argument_group("for every verb")
    common.add_argument("--json", action="store_true", help="print one JSON object (docs/json.md)")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _parse(parser: _Parser, own: list[str], extra: tuple[str, ...]) -> argparse.Namespace:
    args = parser.parse_args(own)
    if extra and not hasattr(args, "extra"):
        raise _UsageError("unexpected '--', this verb starts no engine")
    args.extra = extra
    return args


def _show(answer: Answer, as_json: bool) -> int:
    if as_json:
        from hvmlite.cli._answer import dumps

        _output.write(dumps(answer.document()))
    else:
        from hvmlite.cli._style import Style

        lines = answer.lines(Style.of(sys.stdout))
        _output.write("".join(f"{line}\n" for line in lines))
    return answer.status


def _columns() -> int:
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


class _Complaints:
    """What goes wrong, in one line on stderr, and as an object on stdout under ``--json``."""

    def __init__(self, *, as_json: bool, debug: bool) -> None:
        self.as_json = as_json
        self.debug = debug

    def usage(self, usage: str, message: str) -> int:
        self._say("UsageError", message, None, before=usage)
        return _USAGE_STATUS

    def error(self, error: BaseException, message: str, hint: str | None, status: int) -> int:
        self._trace(error)
        self._say(type(error).__name__, message, hint)
        return status

    def stop(self, stop: Stop) -> int:
        self._trace(stop)
        self._object("Interrupted", stop.text, None)
        _output.complain(f"hvmlite: {stop.text}")
        return stop.status

    def bug(self, error: Exception) -> int:
        self._trace(error)
        place = _place(error)
        message = f"bug in hvmlite: {type(error).__name__} in {place}: {error}"
        hint = "please report it, with what the same command prints with --debug"
        self._say("Bug", message, hint)
        return _BUG_STATUS

    def _trace(self, error: BaseException) -> None:
        if self.debug:
            import traceback

            text = "".join(traceback.format_exception(error)).rstrip("\n")
            _output.complain("\n".join(_output.escape(line) for line in text.split("\n")))

    def _say(self, kind: str, message: str, hint: str | None, before: str = "") -> None:
        self._object(kind, message, hint)
        _output.complain(f"{before}hvmlite: error: {_output.escape(message)}")
        if hint:
            _output.complain(f"hvmlite: hint: {_output.escape(hint)}")

    def _object(self, kind: str, message: str, hint: str | None) -> None:
        if not self.as_json:
            return
        from hvmlite.cli._answer import dumps

        error: Document = {
            "kind": kind,
            "message": _output.escape(message),
            "hint": hint and _output.escape(hint),
        }
        with contextlib.suppress(OSError):  # stderr still tells it
            _output.write(dumps({"error": error}))


def _place(error: Exception) -> str:
    # The deepest frame that is ours.
    place = "?"
    trace = error.__traceback__
    ours = hvmlite.__path__[0] + os.sep
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith(ours):
            place = f"{name.removeprefix(ours)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
