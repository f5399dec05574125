"""The 16-bit entry of Linux's boot protocol, in docs/protocols/linux.md.

Document: Linux, `Documentation/arch/x86/boot.rst`, "Running the Kernel".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.protocols._later import later
from hvmlite.protocols._linux_real_mode_offer import NAME, offers

if TYPE_CHECKING:
    from hvmlite.protocols._linux_real_mode import CARRIES as carries
    from hvmlite.protocols._linux_real_mode import encode
    from hvmlite.protocols._linux_real_mode_decode import decode

__all__ = ["NAME", "carries", "decode", "encode", "offers"]

__getattr__ = later(
    __name__,
    decode="_linux_real_mode_decode.decode",
    encode="_linux_real_mode.encode",
    carries="_linux_real_mode.CARRIES",
)
