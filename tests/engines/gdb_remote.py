"""A very small client of the GDB remote protocol, as QEMU's gdb stub speaks it."""

from __future__ import annotations

import re
import socket
import time


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Remote:
    def __init__(self, port: int) -> None:
        end = time.monotonic() + 10
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
                break
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
        self._rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def ask(self, packet: bytes) -> bytes:
        self.send(packet)
        return self.receive()

    def send(self, packet: bytes) -> None:
        self._socket.sendall(b"$%b#%02x" % (packet, sum(packet) & 0xFF))

    def receive(self) -> bytes:
        while not (match := re.search(rb"\$(.*?)#..", self._rest, re.DOTALL)):
            data = self._socket.recv(65536)
            assert data, "the stub hung up"
            self._rest += data
        self._rest = self._rest[match.end() :]
        self._socket.sendall(b"+")
        # Run lengths and escapes (Remote Protocol, Overview).
        text = re.sub(rb"(.)\*(.)", lambda m: m[1] * (m[2][0] - 28), match[1], flags=re.DOTALL)
        return re.sub(rb"}(.)", lambda m: bytes([m[1][0] ^ 0x20]), text, flags=re.DOTALL)

    def run_to(self, address: int) -> None:
        """Continue until the instruction at the linear `address` is the next."""
        assert self.ask(b"Z1,%x,1" % address) == b"OK"
        assert self.ask(b"c").startswith((b"T05", b"S05"))

    def registers(self) -> dict[str, int]:
        """What the stub says about every register of its target description."""
        raw = bytes.fromhex(self.ask(b"g").decode())
        layout = list(self._layout("target.xml"))
        if sum(bits for _, bits in layout) // 8 == len(raw) + 24:
            # QEMU describes three registers that it does not send.
            layout = [(n, b) for n, b in layout if n not in ("ss_base", "ds_base", "es_base")]
        assert sum(bits for _, bits in layout) // 8 == len(raw)
        values, at = {}, 0
        for name, bits in layout:
            values[name] = int.from_bytes(raw[at : at + bits // 8], "little")
            at += bits // 8
        return values

    def monitor(self, command: str) -> str:
        """The answer of QEMU's monitor."""
        self.send(b"qRcmd," + command.encode().hex().encode())
        text = b""
        while (answer := self.receive()) != b"OK":
            assert answer[:1] == b"O", answer
            text += bytes.fromhex(answer[1:].decode())
        return text.decode()

    def _layout(self, annex: str):
        text = b""
        while True:
            part = self.ask(b"qXfer:features:read:%b:%x,ffb" % (annex.encode(), len(text)))
            text += part[1:]
            if part[:1] == b"l":
                break
        # QEMU does not declare the prefix of xi:include, so no XML parser takes it.
        for tag, attributes in re.findall(rb"<(xi:include|reg)\b([^>]*)>", text):
            value = dict(re.findall(rb'(\w+)="([^"]*)"', attributes))
            if tag == b"reg":
                yield value[b"name"].decode(), int(value[b"bitsize"])
            else:
                yield from self._layout(value[b"href"].decode())
