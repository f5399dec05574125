"""Which ways into an image there are, and why the others are closed."""

from __future__ import annotations

from enum import StrEnum

from hvmlite.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hvmlite.model.image import Image

__all__ = ["Offer", "Preference", "Reason", "Refusal", "Relocation", "Requirement", "Verdict"]


class Preference(StrEnum):
    """Where an image that may be moved wants to lie."""

    LINKED = "linked"
    """Where it is linked; the lowest place that is allowed only if that is not free."""
    LOWEST = "lowest"
    HIGHEST = "highest"


class Relocation(Value):
    """Where an image may be moved to: multiples of `align` within [`lowest`, `highest`].

    `highest` is the last byte that it may occupy, as in XEN_ELFNOTE_PHYS32_RELOC. `align` is what
    the image prefers; where no multiple of it is free, half of it will do, and so on down to
    `least` (0: nothing less than `align`).
    """

    align: int
    lowest: int
    highest: int
    preference: Preference = Preference.LINKED
    least: int = 0


class Reason(Value):
    """One fact that closes a way in: what was looked for, what was found, what was needed."""

    what: str
    found: str
    needed: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.what}: {self.found}, {self.needed}"


class Refusal(Value):
    """The image cannot be entered by `protocol`, for these reasons (at least one).

    `facts` are (name, value) pairs for people: what was found all the same.
    """

    protocol: str
    reasons: tuple[Reason, ...]
    facts: tuple[tuple[str, str], ...] = ()


class Offer(Value):
    """Enter `image` by `protocol` at `entry`, which is what RIP will be unless it is moved.

    `image` is the one whose segments are loaded: the file's own, or the one in its payload
    (`nested`). `needs` is the least RAM size in bytes that the image asks for, counted from
    address 0. `cmdline_limit` is the longest command line that it takes, in bytes without the NUL
    (None: no limit is known). `firmware` is the firmware that the image needs before it is entered
    ("seabios", "ovmf"; "" for none). `facts` are (name, value) pairs for people.

    In real mode, `entry` is the linear address: CS base plus IP.
    """

    protocol: str
    entry: int
    image: Image
    nested: bool
    needs: int
    relocation: Relocation | None = None
    cmdline_limit: int | None = None
    firmware: str = ""
    facts: tuple[tuple[str, str], ...] = ()


class Requirement(Value):
    """One thing that another loader asks of an image before it starts it.

    :param way: the loader's own way in that it belongs to ("multiboot1", "pvh"), or "any"
    :param what: what is looked at
    :param needed: what it must be, a phrase that ends in "needed"
    :param source: file and function of the loader's source
    :param says: what the loader itself says to the user, as far as that does not vary; may be empty
    """

    way: str
    what: str
    needed: str
    source: str
    says: str = ""

    def unmet(self, found: str, hint: str | None = None) -> Reason:
        """Return the reason why an image in which `found` was found does not meet it."""
        what = self.what if self.way == "any" else f"{self.way}: {self.what}"
        return Reason(what, found, self.needed, hint)


class Verdict(Value):
    """Whether another loader would start an image.

    :param peer: the loader's name
    :param version: the versions whose source was read
    :param ways: how it would start the image; where it chooses itself, the one that it takes. Empty
        if it would not
    :param reasons: why other ways are closed, or all
    :param warnings: what a user should know although it starts
    :param facts: (name, value) pairs for people
    """

    peer: str
    version: str
    ways: tuple[str, ...]
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def starts(self) -> bool:
        """Whether it would start the image in any way."""
        return bool(self.ways)
