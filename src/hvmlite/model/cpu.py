"""The architectural state of one x86 logical processor (Intel SDM volume 3, chapters 2, 3, 10)."""

from __future__ import annotations

from enum import StrEnum

from hvmlite.values import Value

__all__ = ["CpuState", "DescriptorTable", "Mode", "SegmentRegister"]

_REGISTERS = [
    "rax",
    "rcx",
    "rdx",
    "rbx",
    "rsp",
    "rbp",
    "rsi",
    "rdi",
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
]


class Mode(StrEnum):
    """How the processor executes the next instruction: CR0.PE, EFER.LMA, CS.L and CS.D."""

    REAL = "16-bit real"
    PROTECTED16 = "16-bit protected"
    PROTECTED32 = "32-bit protected"
    COMPATIBILITY = "32-bit compatibility"
    LONG = "64-bit"


class SegmentRegister(Value):
    """A segment register with its hidden part; `limit` is in bytes, granularity applied.

    `type` and the flag names are those of a descriptor (SDM volume 3, 3.4.5): `s` 1 code or data,
    `db` the D/B flag, `l` 64-bit code, `g` granularity. `present` 0 means unusable.
    """

    selector: int = 0
    base: int = 0
    limit: int = 0xFFFF
    type: int = 3
    s: int = 1
    dpl: int = 0
    present: int = 1
    avl: int = 0
    l: int = 0  # noqa: E741 - the manual's name
    db: int = 0
    g: int = 0

    @property
    def attributes(self) -> int:
        """Access byte, and flags in bits 12-15, as VMX and SVM have them."""
        low = self.type | self.s << 4 | self.dpl << 5 | self.present << 7
        return low | self.avl << 12 | self.l << 13 | self.db << 14 | self.g << 15


class DescriptorTable(Value):
    """GDTR or IDTR: linear `base`, `limit` is the offset of the last byte."""

    base: int = 0
    limit: int = 0


_CODE16 = SegmentRegister(type=0xB)
_DATA16 = SegmentRegister()


class CpuState(Value):
    """Everything that is set before the first guest instruction; the default is real mode at 0:0.

    `msrs` are further (index, value) pairs; EFER has its own field.
    """

    rax: int = 0
    rcx: int = 0
    rdx: int = 0
    rbx: int = 0
    rsp: int = 0
    rbp: int = 0
    rsi: int = 0
    rdi: int = 0
    r8: int = 0
    r9: int = 0
    r10: int = 0
    r11: int = 0
    r12: int = 0
    r13: int = 0
    r14: int = 0
    r15: int = 0
    rip: int = 0
    rflags: int = 2
    cs: SegmentRegister = _CODE16
    ds: SegmentRegister = _DATA16
    es: SegmentRegister = _DATA16
    fs: SegmentRegister = _DATA16
    gs: SegmentRegister = _DATA16
    ss: SegmentRegister = _DATA16
    tr: SegmentRegister = SegmentRegister(type=0xB, s=0)
    ldtr: SegmentRegister = SegmentRegister(type=2, s=0)
    gdtr: DescriptorTable = DescriptorTable(0, 0xFFFF)
    idtr: DescriptorTable = DescriptorTable(0, 0xFFFF)
    cr0: int = 0x10
    cr2: int = 0
    cr3: int = 0
    cr4: int = 0
    cr8: int = 0
    efer: int = 0
    msrs: tuple[tuple[int, int], ...] = ()

    @property
    def mode(self) -> Mode:
        """The operating mode that this state means."""
        if not self.cr0 & 1:
            return Mode.REAL
        if self.efer & 0x400:
            return Mode.LONG if self.cs.l else Mode.COMPATIBILITY
        return Mode.PROTECTED32 if self.cs.db else Mode.PROTECTED16

    @property
    def general(self) -> dict[str, int]:
        """The sixteen general registers by name, in the order of their encoding."""
        return {name: getattr(self, name) for name in _REGISTERS}

    def with_register(self, name: str, value: int) -> CpuState:
        """Return a copy with one register changed; "gdtr" and "idtr" mean their base."""
        if name in ("gdtr", "idtr"):
            table = DescriptorTable(value, getattr(self, name).limit)
            return self.replace(gdtr=table) if name == "gdtr" else self.replace(idtr=table)
        changes: dict[str, int] = {name: value}
        return self.replace(**changes)
