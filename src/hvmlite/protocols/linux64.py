"""The 64-bit entry of Linux's boot protocol, in docs/protocols/linux.md.

Document: Linux, `Documentation/arch/x86/boot.rst`, "64-bit Boot Protocol".
"""

from __future__ import annotations

from hvmlite.protocols._linux_decode import decode64 as decode
from hvmlite.protocols._linux_encode import CARRIES as carries
from hvmlite.protocols._linux_encode import encode64 as encode
from hvmlite.protocols._linux_offer import LINUX64 as NAME
from hvmlite.protocols._linux_offer import offers64 as offers

__all__ = ["NAME", "carries", "decode", "encode", "offers"]
