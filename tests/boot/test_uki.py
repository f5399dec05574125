"""Unified kernel images without UEFI, and one of them with: systemd's stub is the judge."""

from __future__ import annotations

import subprocess

import pytest

import hvmlite
from boot.agreement import agrees
from boot.conftest import PAYLOAD
from boot.reporter import QUICK, archive, boot, finish, sums
from hvmlite.errors import RequestError
from hvmlite.guest.memory import PlanMemory
from initramfs import Archive
from makers.pe import OSREL, addon, uki

KERNEL = "6.12-cloud"
LINE = f"console=ttyS0 {QUICK} from=uki"


def files(**content):
    """An archive with a few more files for the guest to sum."""
    made = Archive().directory("/payload")
    for name, data in content.items():
        made.file(f"/payload/{name}", data)
    return made.cpio()


UCODE = files(microcode=b"no real one", same=b"of the microcode")
INITRD_PAYLOAD = PAYLOAD | {"same": b"of the initrd"}


@pytest.fixture(scope="module")
def parts(kernels):
    return {
        ".osrel": OSREL,
        ".cmdline": LINE.encode().replace(b" ", b"\n", 1) + b" \r\n\0",
        ".ucode": UCODE,
        ".initrd": archive(INITRD_PAYLOAD).gzip(),
        ".uname": b"6.12",
        ".linux": kernels[KERNEL].read_bytes(),
    }


@pytest.fixture(scope="module")
def by_objcopy(images, parts, tmp_path_factory):
    """Made as distributions did before ukify: sections added to systemd's stub."""
    folder = tmp_path_factory.mktemp("uki")
    command, address = ["objcopy"], 0x20000
    for name, content in parts.items():
        (folder / name).write_bytes(content)
        command += ["--add-section", f"{name}={folder / name}"]
        command += ["--change-section-vma", f"{name}={address:#x}"]
        address += -(-len(content) // 0x10000) * 0x10000
    stub = images["systemd-boot"] / "linuxx64.efi.stub"
    path = folder / "linux.efi"
    subprocess.run([*command, stub, path], check=True)
    return path


@pytest.mark.boot
@pytest.mark.parametrize("protocol", [None, "linux64"])
def test_a_uki_boots_without_uefi(by_objcopy, kernels, protocol):
    plan, report = boot(by_objcopy, [], cmdline="", protocol=protocol)
    assert plan.protocol == (protocol or "pvh")
    assert plan.boot_info.cmdline == LINE.encode()
    agrees(plan, report, INITRD_PAYLOAD | {"microcode": b"no real one"}, kernels[KERNEL])
    assert plan.dropped == ()


@pytest.mark.boot
def test_it_learns_the_same_from_systemds_stub(by_objcopy, tmp_path):
    """The traditional way, on the machine's own firmware."""
    disk = tmp_path / "disk"
    subprocess.run(["mformat", "-C", "-i", disk, "-T", str(64 << 11), "::"], check=True)
    subprocess.run(["mmd", "-i", disk, "::/EFI", "::/EFI/BOOT"], check=True)
    subprocess.run(["mcopy", "-i", disk, by_objcopy, "::/EFI/BOOT/BOOTX64.EFI"], check=True)
    guest = hvmlite.run(disk, firmware="ovmf", memory=512 << 20)
    assert guest.plan.protocol == "efi"
    report = finish(guest, 300)
    _, ours = boot(by_objcopy, [], cmdline="")
    assert report.cmdline == ours.cmdline == LINE.encode()
    # Debian 12's stub, 252, does not know .ucode
    expected = sums(INITRD_PAYLOAD | {"microcode": b"no real one"})
    assert ours.files == expected
    del expected["microcode"]
    assert report.files == expected


@pytest.mark.boot
def test_profiles_addons_and_more_initrds(parts, tmp_path):
    image = tmp_path / "linux.efi"
    image.write_bytes(
        uki(
            parts[".linux"],
            (".cmdline", f"console=ttyS0 {QUICK}".encode()),
            (".initrd", parts[".initrd"]),
            (".ucode", UCODE),
            (".uname", b"6.12"),
            (".profile", b'ID=main\nTITLE="Main"\n'),
            (".profile", b"ID=reset\n"),
            (".cmdline", f"console=ttyS0 {QUICK} reset".encode()),
            (".dtb", b"\xd0\x0d\xfe\xed"),
        )
    )
    (tmp_path / "a").mkdir()
    second, first = tmp_path / "a" / "20.addon.efi", tmp_path / "10.addon.efi"
    first.write_bytes(addon((".cmdline", b"one\0"), (".initrd", files(one=b"1", same=b"one"))))
    second.write_bytes(
        addon((".cmdline", b"two"), (".ucode", files(two=b"2")), (".uname", b"6.12"))
    )
    more = tmp_path / "more"
    more.write_bytes(files(more=b"3", same=b"of the user"))
    plan, report = boot(image, [more], cmdline="", profile="reset", addons=[second, first])
    assert report.cmdline == f"console=ttyS0 {QUICK} reset one two".encode()
    assert report.files == sums(
        PAYLOAD | {"microcode": b"no real one", "one": b"1", "two": b"2", "more": b"3",
                   "same": b"of the user"}
    )  # fmt: skip
    assert [item.field for item in plan.dropped] == [".dtb", ".profile"]


# What is planned; nothing is started from here on.

PIECES = {".linux": b"", ".initrd": b"initrd", ".ucode": b"ucode"}


@pytest.fixture
def made(parts, tmp_path):
    """A UKI with these sections beside its kernel, as a path."""

    def make(*sections, name="linux.efi", **fields):
        path = tmp_path / name
        path.write_bytes(uki(parts[".linux"], *sections, **fields))
        return path

    return make


@pytest.fixture
def added(tmp_path):
    def make(*sections, name="x.addon.efi", **fields):
        path = tmp_path / name
        path.write_bytes(addon(*sections, **fields))
        return path

    return make


def initrd(plan):
    (module,) = plan.boot_info.modules
    start = plan.address_of("module 0 (initrd)")
    assert PlanMemory(plan).read(start, len(module.data)) == bytes(module.data)
    return bytes(module.data)


def test_no_initrd_at_all(made):
    plan = hvmlite.plan(made())
    assert plan.boot_info.modules == ()
    assert plan.boot_info.cmdline == b""


def test_one_initrd_alone_keeps_its_length(made, tmp_path):
    assert initrd(hvmlite.plan(made((".initrd", b"12345")))) == b"12345"
    (tmp_path / "mine").write_bytes(b"123456789")
    assert initrd(hvmlite.plan(made(), initrds=[tmp_path / "mine"])) == b"123456789"


def test_initrds_are_joined_at_multiples_of_4_bytes(made, added, tmp_path):
    mine = [tmp_path / "mine", tmp_path / "empty", tmp_path / "last"]
    for path, data in zip(mine, (b"mine!", b"", b"last"), strict=True):
        path.write_bytes(data)
    addons = [
        added((".ucode", b"u1"), (".initrd", b"i1"), name="1.efi"),
        added((".ucode", b"u2"), (".initrd", b"i2"), name="2.efi"),
    ]
    path = made((".initrd", b"initrd"), (".ucode", b"ucode"))
    plan = hvmlite.plan(path, initrds=mine, addons=addons)
    assert initrd(plan) == (
        b"u2......u1......ucode.......initrd......i1......i2......mine!.......last"
    ).replace(b".", b"\0")


def test_further_modules_stay_modules(made, tmp_path):
    (tmp_path / "module").write_bytes(b"m")
    plan = hvmlite.plan(made((".initrd", b"i")), modules=[(tmp_path / "module", "line")])
    assert [bytes(module.data) for module in plan.boot_info.modules] == [b"i", b"m"]
    assert [module.name for module in plan.boot_info.modules] == ["initrd", "module 1"]


@pytest.mark.parametrize(
    ("section", "line"),
    [
        (b"quiet", b"quiet"), (b"quiet\n", b"quiet"), (b"quiet\0\0", b"quiet"),
        (b"  a\tb\r\nc \x7f\n", b"a b  c"), (b"a\0b", b"a"), (b"\0", b""),
        (b"\xc3\xa4", b"\xc3\xa4"),
    ],
)  # fmt: skip
def test_the_command_line_is_trimmed_as_systemd_stub_does(made, added, section, line):
    assert hvmlite.plan(made((".cmdline", section))).boot_info.cmdline == line
    plan = hvmlite.plan(made((".cmdline", b"x")), addons=[added((".cmdline", section))])
    assert plan.boot_info.cmdline == (b"x " + line).strip()


def test_the_users_command_line_goes_before_the_images(made, added):
    path, more = made((".cmdline", b"quiet")), added((".cmdline", b"more"))
    assert hvmlite.plan(path, cmdline="mine").boot_info.cmdline == b"mine"
    assert hvmlite.plan(path, cmdline="mine", addons=[more]).boot_info.cmdline == b"mine more"
    assert hvmlite.plan(path, addons=[more]).boot_info.cmdline == b"quiet more"


def test_profiles_by_number_and_id(made):
    path = made(
        (".cmdline", b"base"),
        (".profile", b"ID=one"),
        (".profile", b"ID=two"),
        (".cmdline", b"two"),
        (".profile", b"TITLE=x"),
        (".cmdline", b"three"),
    )
    for profile, line in {
        None: b"base", "0": b"base", "one": b"base", "1": b"two", "two": b"two", "@2": b"three",
    }.items():  # fmt: skip
        assert hvmlite.plan(path, profile=profile).boot_info.cmdline == line
    for unknown in ("3", "", "x", "-1"):
        with pytest.raises(RequestError, match=r"one of 0 \(one\), 1 \(two\), 2 needed"):
            hvmlite.plan(path, profile=unknown)


def test_a_profile_may_have_a_kernel_of_its_own(made, kernels):
    other = kernels["6.1-cloud"].read_bytes()
    path = made((".profile", b"ID=new"), (".profile", b"ID=old"), (".linux", other))
    new, old = (hvmlite.plan(path, profile=name) for name in ("new", "old"))
    image = hvmlite.open_image(kernels["6.1-cloud"]).payload.image
    assert old.address_of("kernel segment 0") == image.segments[0].paddr
    sizes = [sum(len(p.data) for p in plan.pieces if p.kind == "kernel") for plan in (new, old)]
    assert sizes[1] == sum(len(segment.data) for segment in image.segments)
    assert sizes[0] != sizes[1]


def test_what_a_start_without_firmware_leaves_is_listed(made, added):
    names = (".splash", ".dtb", ".efifw", ".pcrsig", ".pcrpkey", ".sbat")
    path = made(*((name, b"x") for name in names))
    plan = hvmlite.plan(path, addons=[added((".dtbauto", b"x"))])
    assert [item.field for item in plan.dropped] == [
        ".splash", ".dtb", ".dtbauto", ".efifw", ".pcrsig", ".pcrpkey",
    ]  # fmt: skip


def test_addons_that_are_none(made, added, kernels, tmp_path):
    path = made((".uname", b"6.12.1\n"))
    (tmp_path / "text").write_bytes(b"text")
    for file, match in (
        (made(name="other.efi"), "addon .*other.efi: a UKI, a PE file with one of .cmdline"),
        (added((".osrel", b"x")), "format pe without them"),
        (kernels[KERNEL], "format bzimage without them"),
        (added((".cmdline", b"x"), machine=0xAA64, name="arm"),
         "addon .*arm: for PE machine 0xaa64, 0x8664 needed"),
        (added((".cmdline", b"x"), (".uname", b"6.1"), name="old"),
         "addon .*old: for kernel '6.1', '6.12.1' needed"),
        (tmp_path / "nowhere", "cannot be read"),
    ):  # fmt: skip
        with pytest.raises(RequestError, match=match):
            hvmlite.plan(path, addons=[file])
    hvmlite.plan(path, addons=[added((".cmdline", b"x"), (".uname", b"6.12.1"))])


def test_only_a_uki_has_profiles_and_addons(kernels, added):
    with pytest.raises(
        RequestError, match=r"^profile: .*vmlinuz is of format bzimage, a UKI needed"
    ):
        hvmlite.plan(kernels[KERNEL], profile="0")
    with pytest.raises(RequestError, match=r"^addon: .* a UKI needed"):
        hvmlite.run(kernels[KERNEL], addons=[added((".cmdline", b"x"))])


def test_a_profile_of_an_image_without_profiles(made):
    with pytest.raises(RequestError, match="which has no profiles at all"):
        hvmlite.plan(made(), profile="0")


def test_run_and_plan_from_the_command_line(made, added, capsys):
    from hvmlite import cli

    path = made((".profile", b"ID=a"), (".profile", b"ID=b"), (".cmdline", b"of b"))
    plan = ["plan", str(path), "--json"]
    for options, line in {
        (): "console=ttyS0",
        ("-a", "x"): "x",
        ("--profile", "b"): "of b",
        ("--profile", "1", "--addon", str(added((".cmdline", b"more")))): "of b more",
    }.items():
        assert cli.main([*plan, *options]) == 0
        assert f'"cmdline": "{line}"' in capsys.readouterr().out
