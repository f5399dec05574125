"""The 16-bit entry of Linux's boot protocol, in docs/protocols/linux.md.

Document: Linux, `Documentation/arch/x86/boot.rst`, "Running the Kernel".
"""

from __future__ import annotations

from hvmlite.protocols._linux_real_mode import CARRIES as carries
from hvmlite.protocols._linux_real_mode import encode
from hvmlite.protocols._linux_real_mode_decode import decode
from hvmlite.protocols._linux_real_mode_offer import NAME, offers

__all__ = ["NAME", "carries", "decode", "encode", "offers"]
