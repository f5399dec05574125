"""The processor as a firmware leaves it to a program: UEFI 2.10, 2.3.2 (IA-32) and 2.3.4 (x64)."""

from __future__ import annotations

import struct

from hvmlite.model import CpuState, DescriptorTable, SegmentRegister

CODE32, CODE64, DATA = 0x00CF9B000000FFFF, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
PE, MP, NE, ET, WP, PG = 1, 2, 0x20, 0x10, 0x10000, 1 << 31
PSE, PAE, PGE, OSFXSR, OSXMMEXCPT, LA57 = 0x10, 0x20, 0x80, 0x200, 0x400, 0x1000
LME, LMA, NXE = 0x100, 0x400, 0x800
IF = 1 << 9
FLAGS_OPEN = (1 << 0, 1 << 2, 1 << 4, 1 << 6, 1 << 7, 1 << 11, 1 << 21)
"""CF, PF, AF, ZF, SF, OF and ID."""
LARGE, HUGE = 2 << 20, 1 << 30
PRESENT, SIZE = 3, 0x83
GDT_SIZE, VECTORS = 0x50, 32
TABLES_SIZE = 0x8000


def _register(selector, **kind):
    return SegmentRegister(selector, 0, 0xFFFFFFFF, g=1, **kind)


def descriptors(chance, width, handler):
    """A GDT and an IDT, and (code, data): its selectors."""
    entries = [0] + [chance.choice((0, CODE32, DATA)) for _ in range(GDT_SIZE // 8 - 1)]
    code, data = chance.sample(range(1, len(entries)), 2)
    entries[code] = CODE64 if width == 8 else CODE32
    entries[data] = DATA
    kind = 0x8E00
    gate = struct.pack("<HHHH", handler & 0xFFFF, 8 * code, kind, handler >> 16 & 0xFFFF)
    if width == 8:
        gate += struct.pack("<II", handler >> 32, 0)
    return struct.pack(f"<{len(entries)}Q", *entries), gate * VECTORS, (8 * code, 8 * data)


class Paging:
    """Page tables that map RAM under its own addresses; `cr0`, `cr3`, `cr4`, `efer` switch them on.

    :param at: where they are, TABLES_SIZE bytes; `data` is what is there
    """

    def __init__(self, chance, width, at, blocks):
        self._at, self._tables, self.cr3 = at, [], 0
        if width == 4:
            self._narrow(chance, blocks)
        else:
            self._wide(chance, blocks)
        self.data = b"".join(struct.pack("<512Q", *table) for table in self._tables)
        assert len(self.data) <= TABLES_SIZE

    def _table(self):
        self._tables.append([0] * 512)
        return self._at + 0x1000 * (len(self._tables) - 1), self._tables[-1]

    def _wide(self, chance, blocks):
        five = chance.random() < 0.05
        self.cr0, self.cr4 = PG, PAE | (LA57 if five else 0)
        self.efer = LME | LMA | chance.choice((0, NXE))
        self.cr3, table = self._table()
        for _ in range(five + 1):
            at, lower = self._table()
            table[0] = at | PRESENT
            table = lower
        how = chance.choice(("large", "small", "huge"))
        for block in blocks:
            for gigabyte in range(block.start >> 30, (block.end - 1 >> 30) + 1):
                if how == "huge":
                    table[gigabyte] = gigabyte << 30 | SIZE
                else:
                    self._gigabyte(table, gigabyte, block, nothing_at_0=how == "small")

    def _gigabyte(self, table, gigabyte, block, *, nothing_at_0):
        at, directory = self._table()
        table[gigabyte] = at | PRESENT
        for address in range(max(block.start, gigabyte << 30) & -LARGE, block.end, LARGE):
            directory[address >> 21 & 511] = address | SIZE
        if nothing_at_0 and gigabyte == 0:  # a null pointer is caught
            at, first = self._table()
            directory[0] = at | PRESENT
            first[1:] = [page << 12 | PRESENT for page in range(1, 512)]

    def _narrow(self, chance, blocks):
        how = chance.choice(("none", "pae", "pse"))
        self.cr0, self.cr4, self.efer = (0 if how == "none" else PG), 0, 0
        if how == "pse":
            self.cr4 = PSE
            self.cr3, table = self._table()
            entries = [0] * 1024
            for address in range(0, blocks[0].end, 4 << 20):
                entries[address >> 22] = address | SIZE
            table[:] = struct.unpack("<512Q", struct.pack("<1024I", *entries))
        elif how == "pae":
            self.cr4, self.efer = PAE, chance.choice((0, NXE))
            self.cr3, table = self._table()
            at, directory = self._table()
            table[0] = at | 1
            for address in range(0, blocks[0].end, LARGE):
                directory[address >> 21] = address | SIZE


def processor(chance, width, paging, gdt, idt, selectors, *, interrupts):
    """The state at a program's entry, but for what the entry defines: all is garbage, or may be."""
    code, data = selectors
    bits = 8 * width
    general = ("rax", "rcx", "rdx", "rbx", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
    values = {name: chance.getrandbits(bits) for name in general}
    flat = _register(data, type=3, db=1)
    return CpuState(
        **values,
        rflags=2 | (IF if interrupts else 0) | sum(f for f in FLAGS_OPEN if chance.random() < 0.5),
        cs=_register(code, type=0xB, l=1) if width == 8 else _register(code, type=0xB, db=1),
        ds=flat, es=flat, fs=flat, gs=flat, ss=flat,
        tr=SegmentRegister(0, 0, 0xFFFF, type=0xB, s=0),
        gdtr=DescriptorTable(gdt, GDT_SIZE - 1),
        idtr=DescriptorTable(idt, VECTORS * 2 * width - 1),
        cr0=PE | ET | NE | paging.cr0 | chance.choice((0, MP)) | chance.choice((0, WP)),
        cr2=chance.getrandbits(32),
        cr3=paging.cr3,
        cr4=paging.cr4 | OSFXSR | OSXMMEXCPT,
        efer=paging.efer,
    )  # fmt: skip
