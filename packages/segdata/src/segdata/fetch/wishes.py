"""What a user adds to the catalogue: mirrors, and the checksums of files of their own."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from segdata.errors import UsageError
from segdata.fetch.catalogue import RemoteFile

ARCHIVE_ENDINGS = (".tar", ".tgz", ".tar.gz", ".zip")
ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
BY_ARCHIVE = "archive"


def with_mirrors(files: Sequence[RemoteFile], mirrors: Sequence[str]) -> list[RemoteFile]:
    """The files with the user's addresses before the published ones.

    A mirror is the address of one of the files, or a base below which each is looked for: by its
    name alone, then in the folder that the official host keeps it in (`zips/`, `voc2012/`).

    Raises:
        UsageError: a mirror is no http address, or one of a file that is not asked for.
    """
    extra: dict[str, list[str]] = {file.name: [] for file in files}
    for mirror in mirrors:
        parts = urlsplit(mirror)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                "a mirror is no address",
                where=f"--mirror {mirror}",
                expected="http://… or https://…",
                advice="a file that is already on this machine needs no fetch: put it into --data",
            )
        if parts.path.lower().endswith(ARCHIVE_ENDINGS):
            extra[_meant(files, PurePosixPath(parts.path).name, f"--mirror {mirror}")] += [mirror]
            continue
        for file in files:
            extra[file.name] += _below(mirror.rstrip("/"), file)
    return [
        replace(file, addresses=list(dict.fromkeys([*extra[file.name], *file.addresses])))
        for file in files
    ]


def _below(base: str, file: RemoteFile) -> list[str]:
    folder = PurePosixPath(urlsplit(file.addresses[0]).path).parent.name
    places = [base, f"{base}/{folder}"] if folder else [base]
    return [f"{place}/{file.name}" for place in places]


def with_checksums(files: Sequence[RemoteFile], checksums: Sequence[str]) -> list[RemoteFile]:
    """The files, judged by the user's checksums instead of the published size and sums.

    Args:
        files: those to fetch.
        checksums: `[NAME=]ALGORITHM:HEX`, or `[NAME=]archive` to trust whatever is whole by the
            checksums that archives hold themselves. NAME may be left out where there is one file.

    Raises:
        UsageError: not of that form, or for a file that is not asked for.
    """
    chosen: dict[str, dict[str, str]] = {}
    for given in checksums:
        name, equals, value = given.rpartition("=")
        where = f"--checksum {given}"
        if value == BY_ARCHIVE and not equals:
            chosen |= {file.name: {} for file in files}
        else:
            chosen[_meant(files, name, where)] = _digest(value, where)
    return [
        replace(file, size=None, digests=chosen[file.name]) if file.name in chosen else file
        for file in files
    ]


def _meant(files: Sequence[RemoteFile], name: str, where: str) -> str:
    names = [file.name for file in files]
    if name in names:
        return name
    if len(names) == 1 and (not name or where.startswith("--mirror")):
        return names[0]
    raise UsageError(
        "it is not clear which file is meant",
        where=where,
        expected=f"one of {', '.join(names)}",
        found=name or "no name",
        advice="name the file, or ask for one file alone",
    )


def _digest(value: str, where: str) -> dict[str, str]:
    if value == BY_ARCHIVE:
        return {}
    algorithm, _, digits = value.strip().lower().partition(":")
    known = algorithm in ALGORITHMS
    length = 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size if known else 0
    if not known or len(digits) != length or set(digits) - set("0123456789abcdef"):
        raise UsageError(
            "this is no checksum",
            where=where,
            expected=f"{algorithm}: and {length} hexadecimal digits"
            if known
            else f"{', '.join(ALGORITHMS)} and its digits, as in md5:6cd6…, or {BY_ARCHIVE}",
            found=value,
        )
    return {algorithm: digits}
