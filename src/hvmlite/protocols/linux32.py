"""The 32-bit entry of Linux's boot protocol, in docs/protocols/linux.md.

Document: Linux, `Documentation/arch/x86/boot.rst`, "32-bit Boot Protocol".
"""

from __future__ import annotations

from hvmlite.protocols._later import later
from hvmlite.protocols._linux_offer import LINUX32 as NAME
from hvmlite.protocols._linux_offer import offers32 as offers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.protocols._linux_decode import decode32 as decode
    from hvmlite.protocols._linux_encode import CARRIES as carries
    from hvmlite.protocols._linux_encode import encode32 as encode

__all__ = ["NAME", "carries", "decode", "encode", "offers"]

__getattr__ = later(
    __name__,
    decode="_linux_decode.decode32",
    encode="_linux_encode.encode32",
    carries="_linux_encode.CARRIES",
)
