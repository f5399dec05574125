"""hvmlite boots any x86 guest through any entry ABI that its image offers.

The calls here are the command line's verbs::

    import hvmlite

    image = hvmlite.open_image("vmlinuz")
    plan = hvmlite.plan("vmlinuz", initrds=["initrd.gz"], cmdline="console=ttyS0")
    with hvmlite.run("vmlinuz", initrds=["initrd.gz"], cmdline="console=ttyS0") as guest:
        guest.expect("login:", timeout=60)

Errors are in :mod:`hvmlite.errors`, the values that go in and come out in :mod:`hvmlite.model`.
"""

from __future__ import annotations

__all__ = [
    "Run",
    "Timing",
    "__version__",
    "available_engines",
    "offers",
    "open_image",
    "plan",
    "run",
    "run_matrix",
    "verdicts",
    "wrap",
]

__version__ = "0.1.0"

_ROOMS = {"run_matrix": "matrix", "verdicts": "peers", "wrap": "universal"}

TYPE_CHECKING = False
if TYPE_CHECKING:  # the rooms are imported when a call is first used: `--help` needs none of them
    from hvmlite.boot import Run, Timing, available_engines, offers, open_image, plan, run
    from hvmlite.matrix import run_matrix
    from hvmlite.peers import verdicts
    from hvmlite.universal import wrap


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'hvmlite' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"hvmlite.{_ROOMS.get(name, 'boot')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
