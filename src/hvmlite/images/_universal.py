# What a universal image of ours (docs/universal.md) says of itself. Its parameters are as little to
# be believed as anything in a file.
from __future__ import annotations

from hvmlite.spec import universal as u

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.wire import Buffer

__all__ = ["universal_facts"]

_KINDS: dict[int, str] = {
    u.KernelKind.BZIMAGE64: "a bzImage, entered in 64-bit mode",
    u.KernelKind.BZIMAGE32: "a bzImage, entered in 32-bit mode",
    u.KernelKind.ELF64: "a vmlinux, entered in 64-bit mode",
    u.KernelKind.ELF32: "a vmlinux, entered in 32-bit mode",
}


def universal_facts(data: Buffer, start: int, warnings: list[str]) -> list[tuple[str, str]]:
    """Return what is in the image, nothing if it is none.

    :param start: where in the file the stub would be
    """
    at = start + u.PARAMS_OFFSET
    if len(data) < at + u.Params.SIZE:
        return []
    params = u.Params.unpack(data, at)
    if params.magic != u.PARAMS_MAGIC:
        return []
    facts = [("universal image", f"version {params.version} of hvmlite's stub")]
    if params.version != u.PARAMS_VERSION:
        warnings.append(f"universal image of version {params.version}, only 1 is known")
        return facts
    return facts + _wrapped(data, start, params, warnings)


def _wrapped(
    data: Buffer, start: int, params: u.Params, warnings: list[str]
) -> list[tuple[str, str]]:
    facts = []
    kind = _KINDS.get(params.kernel_kind, f"of kind {params.kernel_kind}")
    line = _part(data, start, params.command_line_offset, params.command_line_size)
    for name, offset, size in (
        ("kernel", params.kernel_offset, params.kernel_size),
        ("initrd", params.initrd_offset, params.initrd_size),
        ("command line", params.command_line_offset, params.command_line_size),
    ):
        if start + offset + size > len(data):
            warnings.append(f"wrapped {name} ends at {start + offset + size:#x}: truncated?")
    release = _part(data, start - u.ELF_STUB_OFFSET, u.VERSION_AT, u.VERSION_MAX)
    release = release.partition(b"\0")[0]
    if release:
        facts.append(("wrapped kernel", _text(release)))
    extent = f"{params.kernel_size} bytes at {start + params.kernel_offset:#x}"
    return [
        *facts,
        ("wrapped", f"{kind}, {extent}"),
        ("built-in initrd", f"{params.initrd_size} bytes" if params.initrd_size else "none"),
        ("built-in command line", _text(line) if params.command_line_size else "none"),
    ]


def _part(data: Buffer, start: int, offset: int, size: int) -> bytes:
    return bytes(memoryview(data)[start + offset :][: min(size, u.COMMAND_LINE_MAX)])


def _text(data: bytes) -> str:
    return "".join(c if c.isprintable() else "?" for c in data.decode("utf-8", "replace"))
