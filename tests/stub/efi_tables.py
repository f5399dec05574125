"""The tables of a firmware, laid out by the UEFI specification 2.10 for either width."""

from __future__ import annotations

import struct
import zlib
from uuid import UUID

LOADED_IMAGE = UUID("5b1b31a1-9562-11d2-8e3f-00a0c969723b")
LOAD_FILE2 = UUID("4006c0c1-fcb3-403e-996d-4a6c8724e06d")
SIMPLE_FILE_SYSTEM = UUID("964e5b22-6459-11d2-8e39-00a0c969723b")
FILE_INFO = UUID("09576e92-6d3f-11d2-8e39-00a0c969723b")
GRAPHICS_OUTPUT = UUID("9042a9de-23dc-4a38-96fb-7aded080516a")
CONSOLE_OUT_DEVICE = UUID("d3b36f2c-d551-11d4-9a46-0090273fc14d")
EDID_ACTIVE = UUID("bd8c1056-9f36-44ec-92a8-a6337f817986")
ACPI_20 = UUID("8868e871-e4f1-11d3-bc22-0080c73c8881")
ACPI_10 = UUID("eb9d2d30-2d88-11d3-9a16-0090273fc14d")
SMBIOS = UUID("eb9d2d31-2d88-11d3-9a16-0090273fc14d")
DEVICE_TREE = UUID("b1b621d5-f19c-41a5-830b-d9152c69aae0")
GLOBAL_VARIABLE = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
SHIM_LOCK = UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
LINUX_INITRD = UUID("5568e427-68fc-4f3d-ac74-ca555231cc68")

BOOT_SERVICES = (
    *("RaiseTPL", "RestoreTPL", "AllocatePages", "FreePages", "GetMemoryMap", "AllocatePool"),
    *("FreePool", "CreateEvent", "SetTimer", "WaitForEvent", "SignalEvent", "CloseEvent"),
    *("CheckEvent", "InstallProtocolInterface", "ReinstallProtocolInterface"),
    *("UninstallProtocolInterface", "HandleProtocol", "Reserved", "RegisterProtocolNotify"),
    *("LocateHandle", "LocateDevicePath", "InstallConfigurationTable", "LoadImage", "StartImage"),
    *("Exit", "UnloadImage", "ExitBootServices", "GetNextMonotonicCount", "Stall"),
    *("SetWatchdogTimer", "ConnectController", "DisconnectController", "OpenProtocol"),
    *("CloseProtocol", "OpenProtocolInformation", "ProtocolsPerHandle", "LocateHandleBuffer"),
    *("LocateProtocol", "InstallMultipleProtocolInterfaces"),
    *("UninstallMultipleProtocolInterfaces", "CalculateCrc32", "CopyMem", "SetMem"),
    "CreateEventEx",
)
RUNTIME_SERVICES = (
    *("GetTime", "SetTime", "GetWakeupTime", "SetWakeupTime", "SetVirtualAddressMap"),
    *("ConvertPointer", "GetVariable", "GetNextVariableName", "SetVariable"),
    *("GetNextHighMonotonicCount", "ResetSystem", "UpdateCapsule", "QueryCapsuleCapabilities"),
    "QueryVariableInfo",
)
TEXT_OUTPUT = (
    *("TextReset", "OutputString", "TestString", "TextQueryMode", "TextSetMode", "SetAttribute"),
    *("ClearScreen", "SetCursorPosition", "EnableCursor"),
)
GRAPHICS = ("QueryMode", "SetMode", "Blt")
FILE = (
    *("Open", "Close", "Delete", "Read", "Write", "GetPosition", "SetPosition", "GetInfo"),
    *("SetInfo", "Flush"),
)
FUNCTIONS = (*BOOT_SERVICES, *TEXT_OUTPUT, *GRAPHICS, *FILE, "LoadFile", "OpenVolume")
"""What is gone with boot services."""
SLOT = 16
"""Bytes of code for each function."""
SIGNATURES = {"system": b"IBI SYST", "boot": b"BOOTSERV", "runtime": b"RUNTSERV"}
REVISION = 2 << 16 | 100
DEVICE_PATH_END = b"\x7f\xff\x04\x00"
INITRD_PATH = b"\x04\x03\x14\x00" + LINUX_INITRD.bytes_le + DEVICE_PATH_END


class Block:
    """Memory that is being filled: what is put into it, one after the other.

    :param width: bytes of a pointer
    """

    def __init__(self, start, width):
        self.start, self.width = start, width
        self.data = bytearray()

    def put(self, data, align=8):
        self.data += bytes(-len(self.data) % align)
        at = self.start + len(self.data)
        self.data += data
        return at

    def words(self, *values):
        """Pointers and UINTNs."""
        return self.put(pack_words(self.width, *values))

    @property
    def end(self):
        return self.start + len(self.data)


def pack_words(width, *values):
    return struct.pack(f"<{len(values)}{'Q' if width == 8 else 'I'}", *values)


def table(signature, width, *words, junk=0):
    """A table with its header, whose sum is right."""
    body = pack_words(width, *words)
    header = struct.pack("<8sIIII", signature, REVISION, 24 + len(body), 0, 0)
    sum_ = zlib.crc32(header + body)
    return header[:16] + struct.pack("<II", sum_, junk) + body


def slots(base, names):
    """Where the functions are whose code begins at `base`."""
    return {name: base + SLOT * number for number, name in enumerate(names)}


class Tables:
    """All that a program can find by the system table's address; `boot` and `runtime` are Blocks.

    Handles are addresses of the firmware's own, `handles` has what is installed on them: the
    interface, which may be 0, by the protocol's GUID.
    """

    def __init__(self, boot, runtime, functions):
        self.boot, self.runtime, self.functions = boot, runtime, functions
        self.width = boot.width
        self.handles = {}
        self.system = 0

    def handle(self):
        at = self.boot.put(b"hndl" + bytes(12))
        self.handles[at] = {}
        return at

    def install(self, handle, guid, interface):
        self.handles[handle][guid] = interface
        return interface

    def calls(self, *names):
        return [self.functions[name] for name in names]

    def system_table(self, configuration, console):
        """`configuration`: (GUID, address) pairs."""
        boot, runtime, width = self.boot, self.runtime, self.width
        services = boot.put(table(SIGNATURES["boot"], width, *self.calls(*BOOT_SERVICES)))
        lasting = runtime.put(table(SIGNATURES["runtime"], width, *self.calls(*RUNTIME_SERVICES)))
        pairs = b"".join(g.bytes_le + pack_words(width, at) for g, at in configuration)
        at = runtime.put(pairs) if pairs else 0
        vendor = runtime.put("Nobody".encode("utf-16-le") + bytes(2))
        words = (vendor, 7, 0, 0, self.handle(), console, 0, console, lasting, services)
        self.services = services
        self.system = runtime.put(
            table(SIGNATURES["system"], width, *words, len(configuration), at)
        )

    def console(self):
        mode = self.boot.put(struct.pack("<6I", 3, 0, 7, 0, 0, 1))
        return self.boot.words(*self.calls(*TEXT_OUTPUT), mode)

    def loaded_image(self, handle, device, options, size, image, *, junk):
        """EFI_LOADED_IMAGE_PROTOCOL."""
        word = lambda low: low if self.width == 4 else junk << 32 | low  # noqa: E731 - padding
        base, length = image
        fields = pack_words(
            self.width,
            *(word(0x1000), 0, self.system, device, 0, 0, word(size), options, base),
        )
        fields += bytes(-len(fields) % 8)
        tail = struct.pack("<QII", length, 1, 2) + pack_words(self.width, 0)
        self.install(handle, LOADED_IMAGE, self.boot.put(fields + tail))

    def screen(self, handle, screen):
        """EFI_GRAPHICS_OUTPUT_PROTOCOL."""
        info = self.boot.put(
            struct.pack(
                "<9I",
                0,
                screen.width,
                screen.height,
                screen.format,
                *screen.masks,
                screen.pixels_per_line,
            )
        )
        mode = struct.pack("<II", 1, 0) + pack_words(self.width, info, 36)
        mode += struct.pack("<Q", screen.base) + pack_words(self.width, 0x1000)
        place = self.boot.put(mode)
        interface = self.boot.words(*self.calls(*GRAPHICS), place)
        self.install(handle, GRAPHICS_OUTPUT, interface)
        if screen.console is not None:
            self.install(handle, CONSOLE_OUT_DEVICE, screen.console)
        if screen.edid is not None:
            edid = self.boot.put(screen.edid) if screen.edid else 0
            size = len(screen.edid)
            self.install(handle, EDID_ACTIVE, self.boot.words(size, edid))

    def file(self):
        """EFI_FILE_PROTOCOL, of one that is open."""
        return self.boot.put(
            struct.pack("<Q", 0x10000) + pack_words(self.width, *self.calls(*FILE))
        )

    def volume(self, handle):
        interface = self.boot.put(
            struct.pack("<Q", 0x10000) + pack_words(self.width, *self.calls("OpenVolume"))
        )
        self.install(handle, SIMPLE_FILE_SYSTEM, interface)
