# The frame buffer in the zero page's screen_info, both ways.
from __future__ import annotations

from typing import TYPE_CHECKING

from hvmlite.model import Framebuffer
from hvmlite.spec.linux import VIDEO_CAPABILITY_64BIT_BASE, VIDEO_TYPE_VLFB, ScreenInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["framebuffer", "screen_info"]

_SIZE_UNIT = 64 << 10
"""What lfb_size counts in, for a VESA frame buffer (drivers/video/fbdev/vesafb.c)."""
_COLOURS = {"red": "red", "green": "green", "blue": "blue", "rsvd": "reserved"}


def screen_info(screen: Framebuffer | None) -> ScreenInfo:
    """Return what the kernel is told of the screen; zeros without one: no text screen either.

    :raises RequestError: a number is larger than its field
    """
    if screen is None:
        return ScreenInfo()
    colours: dict[str, int] = {}
    for short, name in _COLOURS.items():
        colours[f"{short}_pos"], colours[f"{short}_size"] = getattr(screen, name)
    return ScreenInfo(
        orig_video_isVGA=VIDEO_TYPE_VLFB,
        lfb_width=screen.width,
        lfb_height=screen.height,
        lfb_depth=screen.depth,
        lfb_base=screen.address & 0xFFFFFFFF,
        lfb_size=-(-screen.pitch * screen.height // _SIZE_UNIT),
        lfb_linelength=screen.pitch,
        **colours,
        pages=1,
        capabilities=VIDEO_CAPABILITY_64BIT_BASE if screen.address >> 32 else 0,
        ext_lfb_base=screen.address >> 32,
    )


def framebuffer(screen: ScreenInfo) -> Framebuffer | None:
    """Return the VESA frame buffer that the kernel is told of, None without one."""
    if screen.orig_video_isVGA != VIDEO_TYPE_VLFB:
        return None
    high = screen.ext_lfb_base if screen.capabilities & VIDEO_CAPABILITY_64BIT_BASE else 0
    values: Mapping[str, int] = vars(screen)
    return Framebuffer(
        address=screen.lfb_base | high << 32,
        width=screen.lfb_width,
        height=screen.lfb_height,
        pitch=screen.lfb_linelength,
        depth=screen.lfb_depth,
        **{
            name: (values[f"{short}_pos"], values[f"{short}_size"])
            for short, name in _COLOURS.items()
        },
    )
