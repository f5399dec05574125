"""The least that any loader in Python must do: start, decompress the kernel, copy its segments.

This is the floor that `benchmarks` compare hvmlite's preparation with; it checks nothing.
"""

import mmap
import os
import struct
import sys

import zstandard

with open(sys.argv[1], "rb") as file:  # noqa: PTH123 - the floor imports nothing that it can do without
    image = file.read()
start = (image[0x1F1] + 1) * 512
offset, length = struct.unpack_from("<II", image, 0x248)
payload = image[start + offset : start + offset + length]
size = int.from_bytes(payload[-4:], "little")
kernel = zstandard.ZstdDecompressor().decompress(payload, max_output_size=size)
fd = os.memfd_create("floor")
os.ftruncate(fd, 512 << 20)
ram = mmap.mmap(fd, 512 << 20)
(headers,) = struct.unpack_from("<Q", kernel, 32)
(count,) = struct.unpack_from("<H", kernel, 56)
for index in range(count):
    header = struct.unpack_from("<IIQQQQQQ", kernel, headers + 56 * index)
    kind, _, at, _, address, filled, *_ = header
    if kind == 1:
        ram[address : address + filled] = kernel[at : at + filled]
