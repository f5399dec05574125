"""ELF notes: walked under 4- and 8-byte alignment, and decoded by their owners' documents."""

from __future__ import annotations

from hvmlite.errors import FormatError, LimitError
from hvmlite.model import Note
from hvmlite.spec import linux, xen
from hvmlite.spec.elf import GnuNote, Nhdr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NoteReader"]

_MAX_NOTES = 4096
_MAX_LOOKS = 8 * _MAX_NOTES  # a note is seen by its segment and its section, in up to three walks
_MAX_BYTES = 16 << 20
_ALIGNMENTS = (4, 8)


class NoteReader:
    """Collects the notes of one file; the same note seen twice is kept once.

    :param data: the whole file
    :param source: its name, for messages
    """

    def __init__(self, data: memoryview, source: str) -> None:
        self.data = data
        self.source = source
        self.warnings: list[str] = []
        self._notes: dict[tuple[int, str, int, bytes], Note] = {}
        self._bytes = 0
        self._looks = 0

    @property
    def notes(self) -> tuple[Note, ...]:
        """All notes, in the order of the file."""
        return tuple(sorted(self._notes.values(), key=lambda note: note.offset))

    def read(self, offset: int, size: int, align: int, where: str) -> None:
        """Read the notes in `size` bytes at `offset`, which lie within the file.

        The stated alignment is tried first, then the other one of 4 and 8: toolchains have merged
        8-byte aligned GNU property notes with 4-byte aligned ones into one segment, and have packed
        notes otherwise than they said.

        :param align: p_align or sh_addralign
        :param where: the notes' home, for people
        :raises FormatError: the notes cannot be read under either alignment
        :raises LimitError: there are too many notes, or too many bytes of them
        """
        self._bytes += size
        if self._bytes > _MAX_BYTES:
            raise self._limit("note bytes", _MAX_BYTES)
        stated = 8 if align == 8 else 4
        if align not in (0, 1, 2, *_ALIGNMENTS):
            self.warnings.append(f"{where}: alignment {align:#x}, 4 or 8 was needed; read with 4")
        found = self._best(offset, size, stated, where, align)
        for note in found:
            self._notes.setdefault((note.offset, note.name, note.type, note.desc), note)
        if len(self._notes) > _MAX_NOTES:
            raise self._limit("notes", _MAX_NOTES)

    def _best(self, offset: int, size: int, stated: int, where: str, align: int) -> list[Note]:
        # Under the wrong alignment a walk can go astray and yet end well: strict walks come first.
        other = 12 - stated
        complaint: FormatError | None = None
        for tried, strict in ((stated, True), (other, True), (stated, False)):
            try:
                found = self._walk(offset, size, tried, where, strict)
            except LimitError:
                raise
            except FormatError as error:
                complaint = error
                continue
            if tried == other:
                said = f"{where}: says alignment {align}, its notes are packed with {other}"
                self.warnings.append(said)
            elif not strict:
                self.warnings.append(f"{where}: padding that is not zero, or a note without name")
            return found
        assert complaint is not None
        raise complaint

    def _walk(self, offset: int, size: int, align: int, where: str, strict: bool) -> list[Note]:
        notes: list[Note] = []
        position, end = offset, offset + size
        padding = offset + len(bytes(self.data[offset:end]).rstrip(b"\0"))
        while position < padding:
            self._looks += 1
            if self._looks > _MAX_LOOKS:
                raise self._limit("note reads", _MAX_LOOKS)
            note, position = self._note(position, end, align, where, strict)
            notes.append(note)
            if len(notes) > _MAX_NOTES:
                raise self._limit("notes", _MAX_NOTES)
        return notes

    def _note(
        self, position: int, end: int, align: int, where: str, strict: bool
    ) -> tuple[Note, int]:
        if end - position < Nhdr.SIZE:
            left = end - position
            raise self._broken(where, position, f"{left} bytes are left, {Nhdr.SIZE} were needed")
        header = Nhdr.unpack(self.data, position, source=self.source)
        name_at = position + Nhdr.SIZE
        desc_at = _align(name_at + header.n_namesz - position, align) + position
        desc_end = desc_at + header.n_descsz
        if name_at + header.n_namesz > end or (header.n_descsz and desc_end > end):
            found = f"note has a name of {header.n_namesz} and a descriptor of {header.n_descsz}"
            raise self._broken(where, position, f"{found} bytes, {end - name_at} are left")
        raw_name = bytes(self.data[name_at : name_at + header.n_namesz])
        if raw_name and raw_name[-1]:
            raise self._broken(where, position, "note has a name without end, a NUL was needed")
        name = raw_name.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
        desc = bytes(self.data[desc_at:desc_end]) if header.n_descsz else b""
        following = min(end, position + _align(desc_end - position, align))
        if strict and (not name or any(self.data[desc_end:following])):
            raise self._broken(where, position, "note without name, or without zeros behind")
        label, value = _decode(name, header.n_type, desc)
        note = Note(name, header.n_type, desc, where, position, align, label, value)
        return note, following

    def _broken(self, where: str, position: int, what: str) -> FormatError:
        return FormatError(f"{where}: {what}", source=self.source, offset=position)

    def _limit(self, name: str, allowed: int) -> LimitError:
        message = f"too many {name}, the limit is {allowed}"
        return LimitError(message, limit=name, allowed=allowed, source=self.source)


def _decode(name: str, kind: int, desc: bytes) -> tuple[str, int | tuple[int, ...] | str | None]:
    try:
        if name == xen.ELFNOTE_NAME:
            note = xen.ElfNote(kind)
            return note.name, _xen_value(note, desc)
        if name == "GNU":
            return GnuNote(kind).name, _GNU_VALUES.get(kind, _nothing)(desc)
        if name == linux.NOTE_NAME:
            return linux.LinuxNote(kind).name, _LINUX_VALUES.get(kind, _nothing)(desc)
    except ValueError:
        pass  # a type that its owner does not document
    return "", None


def _align(value: int, align: int) -> int:
    return -(-value // align) * align


def _xen_value(kind: xen.ElfNote, desc: bytes) -> int | tuple[int, ...] | str | None:
    if kind in xen.NUMERIC_NOTES:
        return int.from_bytes(desc, "little") if len(desc) in (4, 8) else None
    if kind in xen.STRING_NOTES:
        return _text(desc)
    if kind is xen.ElfNote.PHYS32_RELOC:  # up to three numbers; none of them must be there
        return _words(desc[:12])
    if kind is xen.ElfNote.L1_MFN_VALID:  # pairs of mask and value, each as wide as an address
        size = 8 if len(desc) % 16 == 0 else 4
        return _words(desc, size) if len(desc) % (2 * size) == 0 else None
    return None


def _words(desc: bytes, size: int = 4) -> tuple[int, ...]:
    ends = range(size, len(desc) + 1, size)
    return tuple(int.from_bytes(desc[end - size : end], "little") for end in ends)


def _text(desc: bytes) -> str:
    return desc.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _nothing(desc: bytes) -> None:
    return None


_GNU_VALUES: dict[int, Callable[[bytes], tuple[int, ...] | str | None]] = {
    GnuNote.ABI_TAG: _words,
    GnuNote.BUILD_ID: bytes.hex,
    GnuNote.GOLD_VERSION: _text,
}
_LINUX_VALUES: dict[int, Callable[[bytes], str | None]] = {linux.LinuxNote.BUILD_SALT: _text}
