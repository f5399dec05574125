"""bzImages and zImages: Linux kernels with a setup header."""

from __future__ import annotations

from hvmlite.images._bzimage import NAME, parse, recognises

__all__ = ["NAME", "parse", "recognises"]
