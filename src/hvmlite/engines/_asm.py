"""A very small x86 emitter: straight-line code at a known address, without a stack.

Each method appends one instruction, or a few, named as in the Intel SDM. Tests disassemble the
result with objdump.
"""

from __future__ import annotations

__all__ = ["Code"]


def _imm(value: int, size: int) -> bytes:
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


class Code:
    """Machine code that starts at linear address `origin`; `bits` is its default operand size."""

    def __init__(self, origin: int, bits: int = 32) -> None:
        self.origin = origin
        self.data = bytearray()
        # Operand-size and address-size prefixes, wanted where 16-bit code does 32-bit things.
        self._o32 = b"" if bits == 32 else b"\x66"
        self._a32 = b"" if bits == 32 else b"\x67"
        self._o16 = b"\x66" if bits == 32 else b""

    @property
    def here(self) -> int:
        """The address of the next instruction."""
        return self.origin + len(self.data)

    def emit(self, *parts: bytes) -> None:
        """Append plain bytes."""
        for part in parts:
            self.data += part

    def mov(self, register: int, value: int) -> None:
        """MOV r32, imm32; `register` is its number in the encoding (0 EAX, 1 ECX, 2 EDX, ...)."""
        self.emit(self._o32, bytes([0xB8 + register]), _imm(value, 4))

    def store(self, address: int, value: int) -> None:
        """MOV dword [address], imm32."""
        # ModRM 05 is disp32 with 32-bit addressing only.
        self.emit(self._o32, self._a32, b"\xc7\x05", _imm(address, 4), _imm(value, 4))

    def out(self, port: int, value: int, size: int = 1) -> None:
        """OUT DX, AL or AX or EAX: `size` bytes to an I/O port."""
        self.mov(2, port)
        self.mov(0, value)
        self.emit({1: b"\xee", 2: self._o16 + b"\xef", 4: self._o32 + b"\xef"}[size])

    def wrmsr(self, index: int, value: int) -> None:
        """WRMSR."""
        self.mov(1, index)
        self.mov(0, value)
        self.mov(2, value >> 32)
        self.emit(b"\x0f\x30")

    def mov_cr2(self, value: int) -> None:
        """MOV CR2, EAX."""
        self.mov(0, value)
        self.emit(b"\x0f\x22\xd0")

    def copy(self, target: int, source: int, size: int) -> None:
        """REP MOVSD: `size` bytes, rounded up to whole double words."""
        self.mov(6, source)
        self.mov(7, target)
        self.mov(1, (size + 3) // 4)
        self.emit(b"\xf3", self._o32, self._a32, b"\xa5")

    def spin(self) -> None:
        """JMP to itself."""
        self.emit(b"\xeb\xfe")

    def rsm(self) -> None:
        """RSM."""
        self.emit(b"\x0f\xaa")
