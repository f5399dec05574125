"""A private apt: packages fetched by name while the system's own apt state stays as it is.

Own lists, cache, status and sources live under one folder. The mirrors, the keys, proxies and
credentials are those that the machine's administrator configured: its Debian archive is asked for
further suites (backports) and architectures (i386), nothing else is added.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

EXIT_UNAVAILABLE = 3
EXIT_FAILED = 4

# What is written anew for each suite; every other field (Signed-By, Trusted, ...) is taken over.
_REPLACED = {"Types", "URIs", "Suites", "Components", "Architectures", "Enabled"}
_RELEASE_NAMES = {"stable", "oldstable", "testing", "unstable", "sid"}
_OPTION_NAMES = {
    "signed-by": "Signed-By",
    "trusted": "Trusted",
    "check-valid-until": "Check-Valid-Until",
    "allow-insecure": "Allow-Insecure",
}


class AptError(Exception):
    """What stopped a fetch, as one line.

    :param status: the exit status of a script that ends for this reason.
    """

    def __init__(self, message: str, status: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Source:
    """One Debian archive that the machine already uses."""

    uris: str
    security: bool
    fields: tuple[tuple[str, str], ...]

    def stanza(self, suites: list[str]) -> str:
        """This archive with other suites, in the deb822 form of sources.list(5)."""
        lines = ["Types: deb", f"URIs: {self.uris}", f"Suites: {' '.join(suites)}"]
        lines += ["Components: main", *(f"{key}: {value}" for key, value in self.fields)]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Package:
    """A package as the archive describes it."""

    name: str
    version: str
    architecture: str
    sha256: str
    depends: tuple[str, ...]


def debian_sources(etc_apt: Path, codename: str) -> list[Source]:
    """The Debian archives of the running release among the machine's sources.

    :param etc_apt: normally ``/etc/apt``.
    :param codename: the running release, such as ``bookworm``.
    """
    paths = sorted(etc_apt.glob("sources.list.d/*"))
    main = etc_apt / "sources.list"
    stanzas: list[dict[str, str]] = []
    for path in ([main] if main.is_file() else []) + paths:
        if path.suffix == ".sources":
            stanzas += _deb822(path.read_text())
        elif path.suffix == ".list":
            stanzas += _one_line(path.read_text())
    # Other vendors have suites called `stable` too: these names count where the code name has none.
    for names in ({codename}, _RELEASE_NAMES):
        found: dict[str, Source] = {}
        for stanza in stanzas:
            source = _debian_archive(stanza, names)
            if source is not None:
                found.setdefault(source.uris, source)
        if found:
            return list(found.values())
    return []


def _debian_archive(stanza: dict[str, str], names: set[str]) -> Source | None:
    if stanza.get("Enabled", "yes").lower() in ("no", "false"):
        return None
    if "deb" not in stanza.get("Types", "").split():
        return None
    if "main" not in stanza.get("Components", "").split():
        return None
    kinds = set()
    for suite in stanza.get("Suites", "").split():
        base, _, kind = suite.partition("-")
        if base in names and kind in ("", "updates", "backports", "security"):
            kinds.add(kind)
    if not kinds:
        return None
    fields = tuple((key, value) for key, value in stanza.items() if key not in _REPLACED)
    return Source(stanza["URIs"], kinds == {"security"}, fields)


def _deb822(text: str) -> list[dict[str, str]]:
    stanzas: list[dict[str, str]] = [{}]
    key = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            stanzas.append({})
        elif line[0] in " \t":
            stanzas[-1][key] += "\n" + line  # an inline key, or a list over several lines
        else:
            key, _, value = line.partition(":")
            stanzas[-1][key] = value.strip()
    return [stanza for stanza in stanzas if stanza]


def _one_line(text: str) -> list[dict[str, str]]:
    stanzas = []
    for line in text.splitlines():
        words = line.partition("#")[0]
        if not words.startswith("deb "):
            continue
        stanza = {"Types": "deb"}
        rest = words.removeprefix("deb ").strip()
        if rest.startswith("["):
            options, _, rest = rest[1:].partition("]")
            for option in options.split():
                name, _, value = option.partition("=")
                if name in _OPTION_NAMES:
                    stanza[_OPTION_NAMES[name]] = value.replace(",", " ")
        uri, suite, *components = rest.split()
        stanzas.append(stanza | {"URIs": uri, "Suites": suite, "Components": " ".join(components)})
    return stanzas


class PrivateApt:
    """Calls apt with a state of its own below one folder, for one architecture.

    One, because apt takes over a suite's new indexes all or none: a broken i386 index of the
    security archive would keep its amd64 kernels away too.
    """

    def __init__(
        self, root: Path, sources: list[Source], suites: list[str], architecture: str
    ) -> None:
        """Write the configuration; nothing is fetched yet.

        :param root: a folder of its own.
        :param suites: of the main archive: ``bookworm``, ``bookworm-backports``; the security
            archive, where the machine has one, is asked for ``<first suite>-security``.
        """
        self.root = root.absolute()
        for folder in ("state/lists/partial", "cache/archives/partial", "sources"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        (self.root / "sources" / "debian.sources").write_text(
            "\n".join(
                s.stanza([f"{suites[0]}-security"] if s.security else suites) for s in sources
            )
        )
        (self.root / "apt.conf").write_text(self._configuration(architecture))

    def _configuration(self, architecture: str) -> str:
        settings = {
            # The machine's hooks and pins are for the machine: none is run or obeyed here.
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": self.root / "sources",
            "Dir::State": self.root / "state",
            "Dir::State::status": self.root / "status",
            "Dir::Cache": self.root / "cache",
            "Dir::Log": self.root / "log",
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "Acquire::Languages": "none",
            "Acquire::Retries": 3,
            "APT::Get::List-Cleanup": "false",  # a later call may ask for fewer suites
        }
        if os.geteuid() == 0:
            settings["APT::Sandbox::User"] = "root"  # _apt may not write below a home folder
        lines = _system_acquire_settings()
        lines += [f'{key} "{value}";' for key, value in settings.items()]
        return "\n".join(lines) + "\n"

    def update(self) -> str:
        """Fetch the indexes.

        :returns: what apt complained of, as one line, or nothing. One index that is broken on the
            mirror does not stop a fetch that does not need it.
        """
        result = self._run("apt-get", "update", check=False)
        return "" if result.returncode == 0 else _complaint(result.stderr)

    def show(self, name: str) -> Package | None:
        """The version of a package that would be taken, or None where no index has it.

        :param name: as for apt-get: ``name``, ``name/suite``, ``name=version``.
        """
        result = self._run("apt-cache", "show", "--no-all-versions", name, check=False)
        stanzas = _deb822(result.stdout)
        if result.returncode != 0 or not stanzas:
            return None
        record = stanzas[0]
        alternatives = record.get("Depends", "").split(",")
        depends = tuple(entry.split("|")[0].strip() for entry in alternatives if entry.strip())
        return Package(
            record["Package"], record["Version"], record["Architecture"], record["SHA256"], depends
        )

    def download(self, package: Package, folder: Path) -> Path:
        """Fetch one package file; apt compares its checksum with the signed index."""
        what = f"{package.name}={package.version}"
        self._run("apt-get", "download", what, cwd=folder, progress=sys.stderr.isatty())
        return next(folder.glob("*.deb"))

    def _run(
        self, *command: str, check: bool = True, cwd: Path | None = None, progress: bool = False
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            command,
            check=False,
            text=True,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if progress else subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C.UTF-8"},
        )
        if check and result.returncode != 0:
            raise AptError(f"{' '.join(command)}: {_complaint(result.stderr)}")
        return result


def _system_acquire_settings() -> list[str]:
    # How this machine reaches its mirrors: proxies, certificates, timeouts. No hooks.
    dump = subprocess.run(
        ["apt-config", "dump"], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    unwanted = ("Acquire::IndexTargets", "Acquire::Languages", "Acquire::Retries")
    return [
        line
        for line in dump.stdout.splitlines()
        if line.startswith("Acquire::") and not line.startswith(unwanted)
    ]


def _complaint(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.startswith(("E:", "W:"))]
    return lines[0].split(":", 1)[1].strip() if lines else stderr.strip()[-200:] or "failed"


def open_private_apt(root: Path, suites: list[str], architecture: str, etc_apt: Path) -> PrivateApt:
    """A private apt that knows some suites of Debian, by the machine's own mirrors.

    :param suites: the first is the release itself, such as ``bookworm``.
    :param etc_apt: the machine's apt configuration, normally ``/etc/apt``.
    :raises AptError: with status 3 on a machine that has no apt or no Debian archive.
    """
    missing = [tool for tool in ("apt-get", "apt-cache", "dpkg-deb") if not shutil.which(tool)]
    if missing:
        raise AptError(f"{missing[0]} is missing: this is no Debian", EXIT_UNAVAILABLE)
    running = running_release()
    sources = debian_sources(etc_apt, running) if running else []
    if not any(not source.security for source in sources):
        raise AptError(
            f"{etc_apt} names no Debian archive of the release that runs here", EXIT_UNAVAILABLE
        )
    return PrivateApt(root, sources, suites, architecture)


def running_release() -> str:
    """The code name of the Debian release that runs here, such as ``bookworm``; else nothing."""
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return ""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if values.get("ID", "").strip('"') != "debian":
        return ""
    return values.get("VERSION_CODENAME", "").strip('"')


def die(script: str, error: AptError, hint: str) -> NoReturn:
    """End a script with one line, and advice where the machine cannot do it."""
    print(f"{script}: {error}", file=sys.stderr)
    if error.status == EXIT_UNAVAILABLE:
        print(hint, file=sys.stderr)
    sys.exit(error.status)
