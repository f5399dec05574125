"""QEMU's machine protocol (docs/interop/qmp-spec): commands out, answers and events in."""

from __future__ import annotations

import json
import os
from typing import Any

__all__ = ["Qmp"]

_LONGEST = 1 << 20


class Qmp:
    """One end of the socket; `fd` is non-blocking and stays its owner's."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = bytearray()

    def send(self, command: str, **arguments: object) -> None:
        """Send a command; nothing happens if QEMU is gone.

        :param arguments: as QMP names them; an underscore is a hyphen
        """
        message = {"execute": command}
        if arguments:
            named = {name.replace("_", "-"): value for name, value in arguments.items()}
            message |= {"arguments": named}  # type: ignore[dict-item]
        try:
            os.write(self._fd, json.dumps(message).encode() + b"\n")
        except OSError:
            return

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the messages that are complete with `data`."""
        self._rest += data
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest[:_LONGEST])
        messages = []
        for line in filter(None, map(bytes.strip, lines)):
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                messages.append(message)
        return messages
