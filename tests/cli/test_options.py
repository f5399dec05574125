"""Options that are read, and those that are refused with status 2 and a reason."""

from __future__ import annotations

import argparse
import json

import pytest

from cli import values
from hvmlite import cli
from hvmlite.cli import _options


def parse(*arguments):
    parser = argparse.ArgumentParser(exit_on_error=False)
    _options.add_guest_arguments(parser)
    _options.add_run_arguments(parser)
    _options.add_limit_arguments(parser)
    return parser.parse_args(["IMAGE", *arguments])


def test_defaults():
    args = parse()
    assert (args.memory, args.cpus, args.accel, args.timeout) == (512 << 20, 1, "auto", None)
    assert (args.append, args.protocol, args.engine, args.gdb) == (None, None, None, None)
    assert _options.limits(args) is None


def test_all_keywords():
    args = parse(
        "-i", "one", "-i", "two", "--module", "m,arg b", "-a", "quiet", "-m", "1G", "-c", "4",
        "--disk", "d,rw", "--protocol", "pvh", "--engine", "qemu", "--max-unpacked", "64M",
        "--max-dictionary", "1M",
    )  # fmt: skip
    keywords = _options.guest_keywords(args, values.image())
    (disk,) = keywords.pop("disks")
    limits = keywords.pop("limits")
    assert (disk.path, disk.format, disk.read_only) == ("d", "raw", False)
    assert (limits.output, limits.dictionary) == (64 << 20, 1 << 20)
    assert keywords == {
        "initrds": ("one", "two"), "modules": (("m", "arg b"),), "cmdline": "quiet",
        "memory": 1 << 30, "cpus": 4, "protocol": "pvh", "firmware": None, "engine": "qemu",
        "profile": None, "addons": (),
    }  # fmt: skip


LINUX = values.m.Note("Linux", 0x101, b"", "section .notes", 0, 4)
GUEST_OS = values.m.Note("Xen", 6, b"linux\0", "section .notes", 0, 4, "GUEST_OS", "linux")
OTHER_OS = values.m.Note("Xen", 6, b"Mini-OS\0", "section .notes", 0, 4, "GUEST_OS", "Mini-OS")


@pytest.mark.parametrize(
    ("image", "cmdline"),
    [
        (values.bzimage(values.image), "console=ttyS0"),
        (values.image(notes=(LINUX,)), "console=ttyS0"),
        (values.image(notes=(OTHER_OS, GUEST_OS)), "console=ttyS0"),
        (values.image(notes=(OTHER_OS,)), ""),
        (values.image(notes=()), ""),
    ],
)
def test_linux_gets_a_console_when_nothing_is_said(image, cmdline):
    assert _options.guest_keywords(parse(), image)["cmdline"] == cmdline
    assert _options.guest_keywords(parse("-a", ""), image)["cmdline"] == ""
    assert _options.guest_keywords(parse("-a", "ro"), image)["cmdline"] == "ro"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "the following arguments are required: IMAGE"),
        (["run", "x", "y"], "unrecognized arguments: y"),
        (["run", "x", "--quie"], "unrecognized arguments: --quie"),
        (["run", "x", "-c", "0"],
         "argument -c/--cpus: '0': no count, needed a whole number from 1"),
        (["run", "x", "-c", "%s"],
         "argument -c/--cpus: '%s': no count, needed a whole number from 1"),
        (["run", "x", "--timeout", "nan"],
         "argument --timeout: 'nan': no time, needed seconds above 0"),
        (["run", "x", "--timeout", "-1"],
         "argument --timeout: '-1': no time, needed seconds above 0"),
        (["run", "x", "--gdb", "65536"], "argument --gdb: '65536': no TCP port, needed 1 to 65535"),
        (["plan", "x", "-m", "\x1b[2J"],
         r"argument -m/--memory: '\x1b[2J': no size,"
         " needed a number with K, M, G or T (MiB without)"),
        (["plan", "x", "--accel", "xen"],
         "argument --accel: invalid choice: 'xen' (choose from 'auto', 'tcg', 'kvm')"),
        (["run", "x", "\x1b]0;t\x07"], r"unrecognized arguments: \x1b]0;t\x07"),
        (["inspect", "x", "--", "-S"], "unexpected '--', this verb starts no engine"),
        (["engines", "x"], "unrecognized arguments: x"),
    ],
)  # fmt: skip
def test_wrong_usage_is_status_2_with_the_reason(capsys, arguments, message):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"usage: hvmlite {arguments[0]} ")
    said = err.splitlines()[-1].removeprefix("hvmlite: error: ")
    # Python 3.12 stopped quoting the choices
    assert said.replace("'", "") == message.replace("'", "")

    at = arguments.index("--") if "--" in arguments else len(arguments)
    assert cli.main([*arguments[:at], "--json", *arguments[at:]]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "UsageError"
    assert error["message"] == said
