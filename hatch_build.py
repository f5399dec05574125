"""The build hook of wheels and editable installs: makes the machine code of the folder ``stub``."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StubBuildHook(BuildHookInterface[Any]):
    """Runs ``make -C stub blobs``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the blobs into the package.

        A wheel has them or is not made. An editable install can do without: most of hvmlite works,
        and whoever needs a blob is told how to make it.
        """
        # Not the make that may have started pip.
        foreign = ("MAKE", "GNUMAKE")
        env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        if not env.get("CC", "").split():
            env.pop("CC", None)
        programs = ["make", env.get("CC", "cc").split()[0]]
        missing = [name for name in programs if shutil.which(name) is None]
        if version == "editable" and missing:
            self.app.display_warning(f"no {' and no '.join(missing)}: stub is not built")
            return
        stub = str(Path(self.root, "stub"))
        command = ["make", "--silent", "-C", stub, "blobs"]
        made = subprocess.run(command, check=version != "editable", env=env)
        if made.returncode:  # a compiler for another processor, say
            self.app.display_warning("make failed: stub is not built")
