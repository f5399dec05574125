"""What a firmware's functions do, by the UEFI specification 2.10: sections 7, 8, 9, 12 and 13.

Only those that the stub has a reason to call: each other one ends the test.
"""

from __future__ import annotations

import struct
from uuid import UUID

from stub import efi_tables as t
from stub.efi_memory import PAGE, Type

SUCCESS, LOAD_ERROR, INVALID_PARAMETER, UNSUPPORTED, BUFFER_TOO_SMALL = 0, 1, 2, 3, 5
DEVICE_ERROR, OUT_OF_RESOURCES, NOT_FOUND = 7, 9, 14
ANY_PAGES, MAX_ADDRESS, ADDRESS = 0, 1, 2
BY_PROTOCOL = 2
READ_ONLY = 1
RIGHT_AFTER_FAILED_EXIT = {
    *("GetMemoryMap", "AllocatePages", "FreePages", "AllocatePool", "FreePool"),
    "ExitBootServices",
}
"""7.4.6: a call of ExitBootServices may have ended all the rest, even if it failed: Exit, too."""

WORD, INT, LONG = "word", "int", "long"
"""UINTN or a pointer; UINT32 or an enumeration; UINT64."""
SIGNATURES = {
    "AllocatePages": (INT, INT, WORD, WORD),
    "FreePages": (LONG, WORD),
    "GetMemoryMap": (WORD, WORD, WORD, WORD, WORD),
    "AllocatePool": (INT, WORD, WORD),
    "FreePool": (WORD,),
    "HandleProtocol": (WORD, WORD, WORD),
    "LocateDevicePath": (WORD, WORD, WORD),
    "LocateHandleBuffer": (INT, WORD, WORD, WORD, WORD),
    "ExitBootServices": (WORD, WORD),
    "Exit": (WORD, WORD, WORD, WORD),
    "GetVariable": (WORD, WORD, WORD, WORD, WORD),
    "OutputString": (WORD, WORD),
    "LoadFile": (WORD, WORD, INT, WORD, WORD),
    "OpenVolume": (WORD, WORD),
    "Open": (WORD, WORD, WORD, LONG, LONG),
    "Read": (WORD, WORD, WORD),
    "GetInfo": (WORD, WORD, WORD, WORD),
    "Close": (WORD,),
}


class Exited(Exception):
    """Exit was called; it does not return."""


class Services:
    """One firmware's; each method is a function, and returns the status without the error bit.

    :param told: what it knows, a :class:`stub.efi_hand_offs.Told`
    """

    def __init__(self, memory, tables, pages, told, handle):
        self.memory, self.tables, self.pages, self.told = memory, tables, pages, told
        self.width, self.handle = tables.width, handle
        self.said = ""
        self.leaving = 0  # calls of ExitBootServices
        self.gone = False  # boot services
        self.final = None  # the last memory map that was told: where, and what
        self.exited = None  # what Exit was told
        self.strangers = 0  # calls of it with a handle that is no image's
        self.allocated = []  # ranges, since the start
        self.pages_given = {}  # by AllocatePages, and not given back
        self.pools_given = set()
        self.open = {}  # files: name and position
        self._spare = [tables.file() for _ in range(len(told.files) + 2)]

    # Memory.

    def _word(self, at, value=None, size=0):
        size = size or self.width
        if value is None:
            return int.from_bytes(self.memory.read(at, size), "little")
        return self.memory.write(at, value.to_bytes(size, "little"))

    def _guid(self, at):
        return UUID(bytes_le=self.memory.read(at, 16))

    def _text(self, at, most=4096):
        data = self.memory.read(at, 2 * most)
        units = struct.unpack(f"<{most}H", data)
        assert 0 in units, "a string without its end"
        return data[: 2 * units.index(0)].decode("utf-16-le", "surrogatepass")

    def _give(self, size, type_, **where):
        assert type_ in (Type.LOADER_CODE, Type.LOADER_DATA), type_
        start = self.pages.allocate(size, type_, **where)
        if start is not None:
            end = start + -(-size // PAGE) * PAGE
            self.allocated.append((start, end))
            for at in {start, max(end - PAGE, start)}:
                self.memory.write(at, self.told.garbage[:PAGE])
        return start

    def AllocatePages(self, how, type_, pages, where):
        wanted = self._word(where, size=8)
        if how > ADDRESS:
            return INVALID_PARAMETER
        place = {ANY_PAGES: {}, MAX_ADDRESS: {"most": wanted}, ADDRESS: {"at": wanted}}[how]
        start = self._give(pages * PAGE, type_, **place)
        if start is None:
            return NOT_FOUND if how == ADDRESS else OUT_OF_RESOURCES
        self._word(where, start, 8)
        self.pages_given[start] = pages
        return SUCCESS

    def FreePages(self, start, pages):
        assert self.pages_given.pop(start) == pages
        return SUCCESS if self.pages.give_back(start, pages * PAGE) else NOT_FOUND

    def AllocatePool(self, type_, size, buffer):
        slack = 8 * self.told.pool_offset
        start = self._give(size + slack, type_)
        if start is None:
            return OUT_OF_RESOURCES
        self._word(buffer, start + slack)
        self.pools_given.add(start)
        return SUCCESS

    def FreePool(self, buffer):
        start = buffer & -PAGE
        end = self.pages.given.get(start)
        assert end is not None, "no pool memory"
        self.pools_given.discard(start)
        return SUCCESS if self.pages.give_back(start, end - start) else INVALID_PARAMETER

    def GetMemoryMap(self, size, map_, key, step, version):
        room, data = self._word(size), self.pages.packed()
        self._word(size, len(data))
        self._word(step, self.pages.step)
        self._word(version, 1, 4)
        if room < len(data):
            self._word(key, self.pages.key ^ 0x5A5A)  # not promised
            return BUFFER_TOO_SMALL
        if not map_:
            return INVALID_PARAMETER
        self.memory.write(map_, data)
        self._word(key, self.pages.key)
        self.final = (map_, data)
        return SUCCESS

    def ExitBootServices(self, handle, key):
        self.leaving += 1
        if handle != self.handle:
            return INVALID_PARAMETER
        if self.leaving <= self.told.map_changes:  # whatever was waiting for this moment
            self.pages.allocate(PAGE, Type.BOOT_DATA, at=self.told.map_takes)  # if it is free
            for _ in range(self.told.map_grows):
                assert self.pages.allocate(PAGE, Type.BOOT_DATA) is not None
        if key != self.pages.key:
            return INVALID_PARAMETER
        self.gone = True
        boot = self.tables.boot
        self.memory.write(boot.start, self.told.garbage[: len(boot.data)])
        for word in (2, 3, 4, 5, 6, 7, 9):  # 7.4.6: consoles and boot services
            self._word(self.tables.system + 24 + word * self.width, 0)
        return SUCCESS

    # Protocols.

    def HandleProtocol(self, handle, guid, interface):
        found = self.tables.handles.get(handle)
        if found is None:
            return INVALID_PARAMETER
        if (name := self._guid(guid)) not in found:
            self._word(interface, 0)
            return UNSUPPORTED
        self._word(interface, found[name])
        return SUCCESS

    def LocateHandleBuffer(self, how, guid, key, count, buffer):
        assert (how, key) == (BY_PROTOCOL, 0)
        name = self._guid(guid)
        found = [at for at, each in self.tables.handles.items() if name in each]
        if not found:
            return NOT_FOUND
        start = self.pages.allocate(PAGE, Type.BOOT_DATA)
        if start is None:
            return OUT_OF_RESOURCES
        self.memory.write(start, t.pack_words(self.width, *found))
        self._word(count, len(found))
        self._word(buffer, start)
        return SUCCESS

    def LocateDevicePath(self, guid, path, device):
        assert self._guid(guid) == t.LOAD_FILE2
        at = self._word(path)
        node = self.memory.read(at, len(t.INITRD_PATH))
        for handle, each in self.tables.handles.items():
            if t.LOAD_FILE2 in each and node == t.INITRD_PATH:
                self._word(path, at + len(node) - len(t.DEVICE_PATH_END))
                self._word(device, handle)
                return SUCCESS
        return NOT_FOUND

    def LoadFile(self, this, path, policy, size, buffer):
        assert this in (each.get(t.LOAD_FILE2) for each in self.tables.handles.values())
        assert self.memory.read(path, 4) == t.DEVICE_PATH_END
        if policy & 0xFF:
            return UNSUPPORTED
        room, data = self._word(size), self.told.offered
        if data is None:
            return NOT_FOUND
        self._word(size, len(data))
        if not buffer or room < len(data):
            return BUFFER_TOO_SMALL
        self.memory.write(buffer, data)
        return SUCCESS

    def OpenVolume(self, this, root):
        assert this in (each.get(t.SIMPLE_FILE_SYSTEM) for each in self.tables.handles.values())
        return self._opened(None, root)

    def _opened(self, name, where):
        at = self._spare.pop()
        self.open[at] = [name, 0]
        self._word(where, at)
        return SUCCESS

    def Open(self, this, where, name, mode, attributes):
        assert self.open[this][0] is None
        assert (mode, attributes) == (READ_ONLY, 0)
        text = self._text(name)
        return self._opened(text, where) if text in self.told.files else NOT_FOUND

    def GetInfo(self, this, guid, size, buffer):
        assert self._guid(guid) == t.FILE_INFO
        name = self.open[this][0]
        length = len(self.told.files[name])
        text = name.rpartition("\\")[2].encode("utf-16-le") + bytes(2)
        data = struct.pack("<QQQ48xQ", 80 + len(text), length, -(-length // 512) * 512, 0) + text
        room = self._word(size)
        self._word(size, len(data))
        if room < len(data):
            return BUFFER_TOO_SMALL
        self.memory.write(buffer, data)
        return SUCCESS

    def Read(self, this, size, buffer):
        name, at = self.open[this]
        data = self.told.files[name][at : at + self._word(size)]
        self.memory.write(buffer, data)
        self._word(size, len(data))
        self.open[this][1] += len(data)
        return SUCCESS

    def Close(self, this):
        del self.open[this]
        return SUCCESS

    # The rest.

    def OutputString(self, this, text):
        assert this == self.told.console
        self.said += self._text(text)
        return SUCCESS

    def GetVariable(self, name, guid, attributes, size, data):
        found = self.told.variables.get((self._text(name, 64), self._guid(guid)))
        if found is None:
            return NOT_FOUND
        value, its = found
        if attributes:
            self._word(attributes, its, 4)
        room = self._word(size)
        self._word(size, len(value))
        if room < len(value):
            return BUFFER_TOO_SMALL
        self.memory.write(data, value)
        return SUCCESS

    def Exit(self, handle, status, size, data):
        assert not data
        if handle != self.handle:
            self.strangers += 1
            return INVALID_PARAMETER
        del size
        self.exited = status
        raise Exited
