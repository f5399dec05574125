"""What engines say about themselves and what they are told about a run."""

from __future__ import annotations

from hvmlite.values import Value

__all__ = ["Availability", "ConsoleChunk", "RunOptions"]


class Availability(Value):
    """Whether an engine can run here; `reason` says why not: absent, forbidden or too old.

    `facts` are (name, value) pairs for people: version, path, accelerators with their reasons.
    """

    engine: str
    ok: bool
    version: str = ""
    reason: str = ""
    hint: str | None = None
    facts: tuple[tuple[str, str], ...] = ()


class ConsoleChunk(Value):
    """Bytes that the guest's console wrote, `time` seconds after the engine was started."""

    time: float
    data: bytes


class RunOptions(Value):
    """How to run a plan.

    :param accelerator: "tcg", "kvm", or "auto" (KVM only where the processor really has svm or vmx)
    :param extra: further arguments for the engine's program, as the user wrote them
    :param gdb: TCP port on the loopback for a debugger, the guest then waits for it (None: none)
    """

    accelerator: str = "auto"
    extra: tuple[str, ...] = ()
    gdb: int | None = None
