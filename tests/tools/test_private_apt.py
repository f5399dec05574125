"""Which of a machine's apt sources is the Debian archive, and what is asked of it."""

from __future__ import annotations

import pytest

from private_apt import Source, debian_sources

MIRROR = "http://mirror.example/debian"
KEYRING = (("Signed-By", "/usr/share/keyrings/debian-archive-keyring.gpg"),)


def test_deb822(tmp_path):
    text = f"""\
Types: deb deb-src
# a remark
URIs: {MIRROR}
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: {KEYRING[0][1]}

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(text)
    assert debian_sources(tmp_path, "bookworm") == [
        Source(MIRROR, False, KEYRING),
        Source("http://mirror.example/debian-security", True, ()),
    ]


def test_one_line_form(tmp_path):
    text = f"""\
# deb http://comment.example/debian bookworm main
deb-src {MIRROR} bookworm main
deb [arch=amd64 signed-by={KEYRING[0][1]}] {MIRROR} bookworm main contrib # why
deb {MIRROR} bookworm-updates main
deb http://mirror.example/debian-security bookworm-security main
deb http://browser.example/ stable main
"""
    (tmp_path / "sources.list").write_text(text)
    assert debian_sources(tmp_path, "bookworm") == [
        Source(MIRROR, False, KEYRING),
        Source("http://mirror.example/debian-security", True, ()),
    ]


def test_a_release_by_its_other_name(tmp_path):
    text = f"deb {MIRROR} stable main\ndeb {MIRROR}-security stable-security main\n"
    (tmp_path / "sources.list").write_text(text)
    found = debian_sources(tmp_path, "bookworm")
    assert found == [Source(MIRROR, False, ()), Source(f"{MIRROR}-security", True, ())]


@pytest.mark.parametrize(
    "line",
    [
        "deb http://other.example/apt bookworm stable",  # no Debian component
        "deb http://other.example/apt bookworm-pgdg main",  # no Debian suite
        "deb http://other.example/apt nodistro main",
        "deb http://mirror.example/debian trixie main",  # not what runs here
        "deb-src http://mirror.example/debian bookworm main",
        "",
    ],
)
def test_not_the_archive_of_this_release(tmp_path, line):
    (tmp_path / "sources.list").write_text(line + "\n")
    assert debian_sources(tmp_path, "bookworm") == []


def test_a_disabled_source_stays_disabled(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    stanza = f"Types: deb\nURIs: {MIRROR}\nSuites: bookworm\nComponents: main\n"
    path = tmp_path / "sources.list.d" / "debian.sources"
    path.write_text(stanza)
    assert len(debian_sources(tmp_path, "bookworm")) == 1
    path.write_text(stanza + "Enabled: no\n")
    assert debian_sources(tmp_path, "bookworm") == []


def test_an_inline_key_is_taken_over(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ\n -----END PGP PUBLIC KEY BLOCK-----"
    stanza = f"Types: deb\nURIs: {MIRROR}\nSuites: bookworm\nComponents: main\nSigned-By:{key}\n"
    (tmp_path / "sources.list.d" / "debian.sources").write_text(stanza)
    (source,) = debian_sources(tmp_path, "bookworm")
    assert source.stanza(["bookworm", "bookworm-backports"]) == (
        f"Types: deb\nURIs: {MIRROR}\nSuites: bookworm bookworm-backports\nComponents: main\n"
        f"Signed-By: {key}\n"
    )
