"""The interactive console on a real pseudo-terminal, with a real guest behind it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import textwrap
import time
from pathlib import Path

import pytest

from engines import raw_guests as raw
from hvmlite.engines import qemu, terminal
from hvmlite.model import Ending

pytestmark = pytest.mark.boot

TESTS = Path(__file__).resolve().parent.parent

# echoes what it reads until "q", then leaves by the exit port:
# mov edx,0x3fd; L: in al,dx; test al,1; jz L; mov dl,0xf8; in al,dx; cmp al,'q'; je E; out dx,al;
# mov dl,0xfd; jmp L
ECHO = bytes.fromhex("ba fd030000 ec a801 74fb b2f8 ec 3c71 7405 ee b2fd ebef") + raw.leave(7)

CHILD = """
    import sys
    from engines import raw_guests as raw
    from engines.test_terminal import ECHO
    from hvmlite.engines import qemu, terminal
    with qemu.start(raw.plan(ECHO), raw.TCG) as session:
        session.console._send(b"ready")
        print("PID", session._process._popen.pid, flush=True)
        {setup}
        print("END", terminal.attach(session).kind, flush=True)
"""


class Child:
    """A Python with a terminal of its own that attaches it to a guest."""

    def __init__(self, setup: str = "") -> None:
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
        code = textwrap.dedent(CHILD).format(setup=setup)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True,
        )  # fmt: skip
        self.slave = slave
        self.text = b""

    def __enter__(self):
        self.expect(b"ready")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def expect(self, wanted: bytes) -> None:
        end = time.monotonic() + 15
        while wanted not in self.text:
            left = end - time.monotonic()
            assert left > 0, self.text
            assert select.select([self.master], [], [], left)[0], self.text
            self.text += os.read(self.master, 4096)

    def type(self, keys: bytes) -> None:
        self.text = b""
        os.write(self.master, keys)

    def settings(self):
        return termios.tcgetattr(self.slave)


def test_keys_go_to_the_guest_one_by_one():
    with Child() as child:
        assert not child.settings()[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
        child.type(b"a")  # no Enter
        child.expect(b"a")
        child.type(b"\x03")  # Ctrl-C is the guest's
        child.expect(b"\x03")
        child.type(b"q")
        child.expect(b"END exited")
        assert child.process.wait(10) == 0
        assert child.settings() == child.before


def test_the_escapes():
    with Child() as child:
        child.type(b"\x01h")
        child.expect(b"Ctrl-A X ends the guest")
        child.type(b"\x01\x01")
        child.expect(b"\x01")
        child.type(b"\x01x")
        child.expect(b"END interrupted")
        assert child.process.wait(10) == 0
        assert child.settings() == child.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_restores_the_terminal(number):
    with Child() as child:
        assert child.settings() != child.before
        pid = int(child.text.split()[child.text.split().index(b"PID") + 1])
        child.process.send_signal(number)
        assert child.process.wait(10) != 0
        assert child.settings() == child.before
        end = time.monotonic() + 5
        while Path(f"/proc/{pid}/exe").exists() and time.monotonic() < end:
            time.sleep(0.02)
        assert not Path(f"/proc/{pid}/exe").exists()


def test_an_exception_restores_the_terminal():
    # The guest's first byte after "ready" is one that cannot be shown.
    setup = """
    import os
    put = terminal._Attachment._put
    terminal._Attachment._put = lambda self, data: 1 / (b"z" not in data) and put(self, data)
    """
    setup = "; ".join(line.strip() for line in setup.strip().splitlines())
    with Child(setup) as child:
        assert child.settings() != child.before
        child.type(b"z")
        child.expect(b"ZeroDivisionError")
        assert child.process.wait(10) == 1
        assert child.settings() == child.before


def test_pipes_instead_of_a_terminal():
    (in_read, in_write), (out_read, out_write) = os.pipe(), os.pipe()
    os.write(in_write, b"one\x01xtwoq")
    os.close(in_write)
    with qemu.start(raw.plan(ECHO), raw.TCG) as session:
        outcome = terminal.attach(session, stdin=in_read, stdout=out_write, timeout=15)
    os.close(out_write)
    assert (outcome.kind, outcome.status) == (Ending.EXITED, 7)
    assert os.read(out_read, 100) == b"one\x01xtwo"  # no escapes in a file
    for fd in (in_read, out_read):
        os.close(fd)


def test_a_closed_standard_input():
    out_read, out_write = os.pipe()
    with qemu.start(raw.plan(raw.say(b"hi") + raw.leave(0)), raw.TCG) as session:
        outcome = terminal.attach(session, stdin=1 << 20, stdout=out_write, timeout=15)
    assert outcome.ok
    assert os.read(out_read, 10) == b"hi"
    os.close(out_read)
    os.close(out_write)


def test_a_reader_that_goes_away():
    out_read, out_write = os.pipe()
    os.close(out_read)
    with qemu.start(raw.plan(raw.say(b"hi") + raw.SPIN), raw.TCG) as session:
        with pytest.raises(BrokenPipeError):
            terminal.attach(session, stdin=1 << 20, stdout=out_write, timeout=15)
        assert session.stop().kind is Ending.INTERRUPTED
    os.close(out_write)


def test_a_slow_reader_gets_everything():
    # mov edx,0x3fd; mov ecx,2^21; L: mov dl,0xfd; W: in al,dx; test al,0x20; jz W;
    # mov dl,0xf8; mov al,'x'; out dx,al; dec ecx; jnz L
    flood = bytes.fromhex("bafd030000 b900002000 b2fd ec a820 74fb b2f8 b078 ee 49 75f1")
    out_read, out_write = os.pipe()
    with qemu.start(raw.plan(flood + raw.leave(0)), raw.TCG) as session:
        reader = subprocess.Popen(
            ["sh", "-c", "sleep 1; wc -c"], stdin=out_read, stdout=subprocess.PIPE
        )
        os.close(out_read)
        assert terminal.attach(session, stdin=1 << 20, stdout=out_write, timeout=60).ok
        os.close(out_write)
        assert int(reader.communicate()[0]) == 1 << 21
