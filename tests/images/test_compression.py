"""The seven compressions: against the programs that make them, and their budgets."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmlite.errors import FormatError, LimitError
from hvmlite.images import Limits
from hvmlite.images._compression import MAGICS, decompress, detect, peek
from makers import bzimage as maker
from makers.bzimage import COMPRESSORS

MIB = 1 << 20
LIMITS = Limits()
ALL = pytest.mark.parametrize("name", sorted(MAGICS))

# What scripts/Makefile.lib of Linux runs, on its standard input.
PROGRAMS = {
    "gzip": "gzip -n -f -9",
    "bzip2": "bzip2 -9",
    "lzma": "xz --format=lzma -9",
    "xz": "xz --check=crc32 --x86 --lzma2=,dict=128MiB",
    "lzo": "lzop -9",
    "lz4": "lz4 -l -9 - -",
    "zstd": "zstd -22 --ultra --quiet",
}


def sample(size=3 * MIB):
    """Bytes that compress somewhat: code of this interpreter, over and over, with noise."""
    chance = random.Random(7)
    base = bytes(chance.choices(range(256), weights=[9] * 16 + [1] * 240, k=MIB))
    data = bytearray((base * (size // MIB + 1))[:size])
    for _ in range(size // 4096):
        data[chance.randrange(size)] = chance.randrange(256)
    return bytes(data)


SAMPLE = sample()


def unpack(name, data, limits=LIMITS, **keys):
    return decompress(name, memoryview(data), limits=limits, source="t", **keys)


@ALL
def test_what_the_kernels_own_compressor_makes(name):
    command = PROGRAMS[name].split()
    assert shutil.which(command[0]), f"{command[0]} is missing"
    packed = subprocess.run(command, input=SAMPLE, capture_output=True, check=True).stdout
    assert detect(packed) == name
    for hint in (None, len(SAMPLE), 5, len(SAMPLE) * 2):
        result = unpack(name, packed + b"\0\0\x30\0" * (name != "gzip"), hint=hint)
        assert result.data == SAMPLE
        assert result.used == len(packed)
    assert peek(name, memoryview(packed), 100, limits=LIMITS, source="t") == SAMPLE[:100]


@pytest.mark.parametrize("size", ["1MiB", "64MiB", "128MiB"])
def test_xz_dictionaries_as_large_as_linux_6_12_uses(size):
    command = ["xz", "--check=crc32", "--x86", f"--lzma2=dict={size}"]
    packed = subprocess.run(command, input=SAMPLE, capture_output=True, check=True).stdout
    assert unpack("xz", packed).data == SAMPLE


@given(
    name=st.sampled_from(sorted(MAGICS)),
    data=st.binary(max_size=2000),
    repeat=st.one_of(st.integers(1, 9), st.integers(1, 300)),
)
def test_round_trip(name, data, repeat):
    whole = data * repeat
    packed = COMPRESSORS[name](whole)
    result = unpack(name, packed + len(whole).to_bytes(4, "little"))
    assert result.data == whole
    assert result.used == len(packed)


@ALL
def test_nothing_is_nothing(name):
    assert unpack(name, COMPRESSORS[name](b"")).data == b""


@ALL
@pytest.mark.parametrize("length", [100, MIB - 1, MIB, MIB + 1, len(SAMPLE)])
def test_the_cap_is_exact_and_names_itself(name, length):
    packed = COMPRESSORS[name](SAMPLE[:length])
    assert unpack(name, packed, Limits(output=length)).data == SAMPLE[:length]
    with pytest.raises(LimitError, match=f"^t: more than {length - 1} bytes") as caught:
        unpack(name, packed, Limits(output=length - 1), hint=length)
    assert (caught.value.limit, caught.value.allowed) == ("output", length - 1)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["xz", "lzma", "zstd"])
def test_the_dictionary_limit_is_another_one_and_names_itself(name):
    packed = {
        "xz": lambda: maker.xz(SAMPLE, 8 * MIB),
        "lzma": lambda: maker.lzma_alone(SAMPLE),  # preset 6: 8 MiB
        "zstd": lambda: maker.zstd(SAMPLE, window_log=23),
    }[name]()
    assert unpack(name, packed, Limits(dictionary=8 * MIB)).data == SAMPLE
    for hint in (None, len(SAMPLE)):
        with pytest.raises(LimitError, match=f"{name} (dictionary|window) of ") as caught:
            unpack(name, packed, Limits(dictionary=6 * MIB), hint=hint)
        assert (caught.value.limit, caught.value.allowed) == ("dictionary", 6 * MIB)


@pytest.mark.parametrize("name", ["bzip2", "lzma", "xz"])
def test_the_slow_decoders_have_a_limit_of_input(name):
    packed = COMPRESSORS[name](SAMPLE)
    length = len(packed) * (2 if name == "bzip2" else 1)
    with pytest.raises(LimitError) as caught:
        unpack(name, packed, Limits(slow_input=length - 1))
    assert (caught.value.limit, caught.value.allowed) == ("slow_input", len(packed) - 1)
    assert unpack(name, packed, Limits(slow_input=length)).data == SAMPLE


@ALL
def test_every_truncation_is_refused(name):
    packed = COMPRESSORS[name](SAMPLE[:5000])
    ends = range(len(packed)) if len(packed) < 200 else [*range(200), *range(200, len(packed), 37)]
    for end in (*ends, len(packed) - 1):
        if name == "lz4" and end in (4, 8):  # nothing, or nothing and a size word: no end mark
            continue
        with pytest.raises(FormatError):
            unpack(name, packed[:end])


@ALL
def test_the_head_is_checked_before_the_rest_is_unpacked(name):
    with pytest.raises(FormatError, match="once decompressed, 7f 45 4c 46 was needed"):
        unpack(name, COMPRESSORS[name](SAMPLE), head=b"\x7fELF")
    assert unpack(name, COMPRESSORS[name](b"\x7fELF" + SAMPLE), head=b"\x7fELF").used


def test_concatenated_streams_have_a_limit():
    empty = maker.gzip(b"")
    with pytest.raises(LimitError) as caught:
        unpack("gzip", empty * 2000, concatenated=True)
    assert caught.value.limit == "streams"
    assert unpack("gzip", empty * 2000).used == len(empty)


def test_the_result_is_read_only_and_no_copy():
    result = unpack("zstd", maker.zstd(SAMPLE), hint=len(SAMPLE))
    assert result.data.readonly
    assert type(result.data.obj).__name__ == "mmap"


def test_no_decompressor_is_imported_before_it_is_needed():
    code = "import sys, hvmlite.images; print(*sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in said.stdout.split()}
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sorted(sys.modules))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded -= {name.split(".")[0] for name in bare.stdout.split()}
    costly = {"lzma", "_lzma", "bz2", "_bz2", "zstandard", "lz4", "lzallright", "zlib"}
    assert loaded & costly == set()
