"""Machine code that hvmlite gives to guests, built from the folder ``stub`` when it is packaged.

==================  ==============================================================================
name                what it is
==================  ==============================================================================
``bios``            services of a PC's BIOS, see :mod:`hvmlite.guest.bios`
``report-amd64``    a static ``/init`` that says what the guest learnt, and powers off
``report-i386``     the same for 32-bit kernels
``universal``       the single stub of universal images, see docs/universal.md
``universal-head``  the beginning of their bzImage-shaped file: boot sector, 16-bit code
==================  ==============================================================================

The reporter writes one line to the first serial port (else to the console): ``hvmlite-report: ``
and a JSON object in ASCII. A character of a string is a byte (U+0000 to U+00FF). A file that the
guest does not have is null.

===============  =================================================================================
member           value
===============  =================================================================================
``schema``       1
``release``      of ``uname``, as ``machine``
``cmdline``      ``/proc/cmdline``
``boot_params``  the zero page, hexadecimal: ``/sys/kernel/boot_params/data``
``setup_data``   ``[{"type": number, "data": hexadecimal}, ...]``
``iomem``        ``/proc/iomem``: ``[[depth, first address, last address, name], ...]``
``memory_kib``   MemTotal of ``/proc/meminfo``
``cpus``         processors in ``/proc/cpuinfo``
``files``        path: SHA-256 of every regular file under ``/payload``
``acpi``         name: SHA-256 of every file in ``/sys/firmware/acpi/tables``
``efi``          whether ``/sys/firmware/efi`` is there
``framebuffer``  ``name``, ``virtual_size``, ``bits_per_pixel``, ``stride`` of ``fb0``, as text
``hypervisor``   ``/sys/hypervisor/type``
``uptime_ms``    milliseconds since the kernel started
===============  =================================================================================
"""

from __future__ import annotations

import os
from functools import cache

from hvmlite.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.abc import ResourceLoader

__all__ = ["read"]


@cache
def read(name: str) -> bytes:
    """Return the blob called `name`.

    :raises UnsupportedError: it was not built; `feature` is its name
    """
    # What importlib.resources ends in, without the 30 modules that it imports.
    loader: ResourceLoader = __spec__.loader  # type: ignore[assignment]
    try:
        return loader.get_data(f"{__path__[0]}{os.sep}{name}")
    except OSError as cause:
        raise UnsupportedError(
            f"{name}: this part of hvmlite was not built, its machine code is needed",
            feature=name,
            hint="in the source tree, make -C stub builds it (with make and a C compiler)",
        ) from cause
