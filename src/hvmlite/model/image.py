"""What a file boils down to: segments, notes, sections and a nested payload."""

from __future__ import annotations

from threading import Lock

from hvmlite.errors import FormatError
from hvmlite.values import Value, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hvmlite.model.disk import DiskLayout
    from hvmlite.model.pe import PeHeaders
    from hvmlite.wire import Struct

__all__ = ["Image", "LoadSegment", "Note", "Part", "Payload", "Section"]


class LoadSegment(Value):
    """A run of bytes that a loader copies to guest-physical `paddr` (an ELF PT_LOAD).

    `memsz` bytes are occupied; those beyond `data` are zero. `flags` are ELF's PF_X 1, PF_W 2,
    PF_R 4.
    """

    paddr: int
    vaddr: int
    memsz: int
    data: memoryview = field(repr=False)
    flags: int = 7
    align: int = 1

    @property
    def end(self) -> int:
        """The first address after the segment."""
        return self.paddr + self.memsz


class Note(Value):
    """An ELF note as found; several notes may have the same name and type.

    `where` names its home ("PT_NOTE segment 4", "section .notes"), `offset` is its header's place
    in the file, `align` the note alignment (4 or 8) under which it was read. `label` is the note's
    name in its owner's documents ("PHYS32_ENTRY"), empty if that is not known; `value` is the
    decoded descriptor where the owner defines one: a number, several numbers or a text.
    """

    name: str
    type: int
    desc: bytes
    where: str
    offset: int
    align: int
    label: str = ""
    value: int | tuple[int, ...] | str | None = None


class Section(Value):
    """An ELF section header; `offset` and `size` have been checked against the file."""

    name: str
    type: int
    addr: int
    offset: int
    size: int
    flags: int


class Part(Value):
    """A section of a unified kernel image (UKI) or of an addon: ".linux", ".initrd", ".cmdline".

    `name` is the section's, `offset` its place in the file. Several parts may have one name.
    `profile` is None for the base of a UKI, else the number of the profile that it belongs to.
    """

    name: str
    offset: int
    data: memoryview = field(repr=False)
    profile: int | None = None


class Payload(Value):
    """An image inside an image, usually compressed.

    `found` says how it was found: "header" (the format's own offset and length fields), "section"
    (a UKI's `.linux`) or "scan" (a search for magic numbers, the fallback). `compression` is "none"
    or the format's name.
    """

    compression: str
    offset: int
    length: int
    found: str
    unpack: Callable[[], Image] = field(repr=False, compare=False)
    """Decompress and parse; use :attr:`image`, which does it once. Raises FormatError."""
    _kept: list[Image | FormatError] = field(default_factory=list, repr=False, compare=False)
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @property
    def asked(self) -> bool:
        """Whether somebody has asked for :attr:`image` already."""
        return bool(self._kept) or self._lock.locked()

    @property
    def image(self) -> Image:
        """The image inside, unpacked at the first use; threads that come meanwhile wait for it.

        :raises FormatError: it cannot be decompressed, or what comes out is no image
        """
        with self._lock:
            if not self._kept:
                try:
                    self._kept.append(self.unpack())
                except FormatError as error:
                    self._kept.append(error)
            (result,) = self._kept
        if isinstance(result, FormatError):
            raise result
        return result


class Image(Value):
    """What a file is and what it holds; `data` is the whole file and `source` its name.

    `entry` is the entry address that the format's own header states (ELF e_entry), `machine` the
    ELF e_machine. `header` is the format's own decoded header where protocols need its fields (the
    Linux setup header). `pe_headers` reads those of a PE file, which a bzImage is as well;
    it raises FormatError. `disk` is there for disks. `facts` are (name, value) pairs for people.
    """

    format: str
    source: str
    data: memoryview = field(repr=False)
    entry: int | None = None
    machine: int | None = None
    segments: tuple[LoadSegment, ...] = ()
    notes: tuple[Note, ...] = ()
    sections: tuple[Section, ...] = ()
    payload: Payload | None = None
    parts: tuple[Part, ...] = ()
    header: Struct | None = field(default=None, repr=False)
    pe_headers: Callable[[], PeHeaders] | None = field(default=None, repr=False, compare=False)
    disk: DiskLayout | None = None
    facts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    """Oddities that did not keep the image from being read."""
