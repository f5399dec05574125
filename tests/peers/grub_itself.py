"""What the real GRUB does with many files: one boot in which it tries every command on each."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

COMMANDS = ("linux", "linux16", "multiboot", "multiboot2")
_TIMEOUT = 300


def ask(files: dict[str, bytes], folder: Path) -> dict[str, dict[str, str]]:
    """Return for each file what GRUB says of each command: nothing if it loaded the file."""
    root = folder / "root"
    (root / "boot" / "grub").mkdir(parents=True)
    lines = ["insmod gzio", "insmod xzio", "insmod lzopio"]
    lines += ["serial --unit=0 --speed=115200", "terminal_output serial"]
    for number, data in enumerate(files.values()):
        (root / f"f{number}").write_bytes(data)
        for command in COMMANDS:
            lines.append(f'echo "<{number} {command}>"')
            lines.append(f'if {command} /f{number}; then echo "<yes>"; else echo "<no>"; fi')
    (root / "boot" / "grub" / "grub.cfg").write_text("\n".join([*lines, 'echo "<end>"', "halt\n"]))
    iso = folder / "grub.iso"
    subprocess.run(
        ["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", iso, root],
        check=True,
        capture_output=True,
    )
    command = ["qemu-system-x86_64", "-M", "q35", "-nodefaults", "-display", "none"]
    command += ["-accel", "tcg", "-m", "512", "-serial", "stdio", "-no-reboot"]
    done = subprocess.run(
        [*command, "-cdrom", iso], capture_output=True, timeout=_TIMEOUT, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return _answers(done.stdout.decode("latin-1"), list(files))


def _answers(console: str, names: list[str]) -> dict[str, dict[str, str]]:
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console).replace("\r", "")
    assert "<end>" in text, text[-3000:]
    found: dict[str, dict[str, str]] = {name: {} for name in names}
    pattern = r"<(\d+) (\w+)>\n(.*?)<(yes|no)>"
    for number, command, said, answer in re.findall(pattern, text, re.DOTALL):
        said = " ".join(said.split())
        found[names[int(number)]][command] = "" if answer == "yes" else said or "refused"
    return found
