"""Clip ids: names that are safe as file names in a cache, and any text turned into one.

An id is ASCII letters, digits, ``.``, ``_`` and ``-``, starts with a letter or digit and has at
most 200 characters, so that it can't leave a folder or collide with a temporary file.

``escape_clip_id`` keeps text readable and can be undone: ``/`` becomes ``--``, whatever an id can't
hold becomes ``.-`` + hex of its UTF-8 + ``-``, and text whose id would not start with a letter or
digit gets ``0.--`` in front. ``angry/clip 01.mp4`` becomes ``angry--clip.-20-01.mp4``.

Text whose id would be too long gets one that can't be undone: its ASCII letters and digits, then
``.-z`` and a digest of it all, which no escape holds. The manifest's path says which file it is.
"""

from __future__ import annotations

import hashlib
import re

MAX_CLIP_ID_LENGTH = 200

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What an escape may not leave as it is: other characters, and those that read as an escape:
# a dash beside a dash or slash, a dot before one.
_UNSAFE = re.compile(r"(?:[^A-Za-z0-9._/-]|(?<=[-/])-|-(?=[-/])|\.(?=[-/]))+")
_ESCAPE = re.compile(r"\.-((?:[0-9a-f]{2})+)-|--")
_PREFIX = "0.--"
_DIGEST_MARK = ".-z"  # an escape goes on with two hex digits
_NUM_DIGEST_DIGITS = 32
_UNREADABLE = re.compile(r"[^A-Za-z0-9._/-]+")


def check_clip_id(text: str) -> str:
    """Return ``text`` if it is a clip id.

    Raises:
        ValueError: it is empty, too long, or has a character that an id can't hold.
    """
    if len(text) > MAX_CLIP_ID_LENGTH:
        raise ValueError(
            f"clip id {text[:40]!r}... has {len(text)} characters; at most {MAX_CLIP_ID_LENGTH}"
        )
    if not _ID.fullmatch(text):
        raise ValueError(
            f"{text!r} is not a clip id; expected letters, digits, '.', '_' and '-', "
            "the first a letter or digit"
        )
    return text


def is_clip_id(text: str) -> bool:
    """Whether ``text`` is a clip id."""
    return len(text) <= MAX_CLIP_ID_LENGTH and _ID.fullmatch(text) is not None


def escape_clip_id(text: str) -> str:
    """Turn any text, a relative path for one, into a clip id that no other text yields.

    Text without ``/``, odd characters, doubled dashes or a dot before a dash is returned as it is.
    Two texts that differ only in case yield ids that differ only in case, unless these end in a
    digest.

    Raises:
        ValueError: the text is not Unicode (a lone surrogate that stands for no byte of a file
            name).
    """
    try:
        escaped = _UNSAFE.sub(lambda match: f".-{_to_bytes(match[0]).hex()}-", text)
    except UnicodeEncodeError as error:
        raise ValueError(f"{text!r} can't become a clip id: {error.reason}") from error
    escaped = _lead(escaped.replace("/", "--"))
    return digest_clip_id(text) if len(escaped) > MAX_CLIP_ID_LENGTH else escaped


def digest_clip_id(text: str) -> str:
    """Turn any text into a clip id that ends in its digest, whatever its length.

    Raises:
        ValueError: the text is not Unicode.
    """
    digest = hashlib.sha256(_to_bytes(text)).hexdigest()[:_NUM_DIGEST_DIGITS]
    readable = _lead(_UNREADABLE.sub("_", text).replace("/", "--"))
    room = MAX_CLIP_ID_LENGTH - len(_DIGEST_MARK) - len(digest)
    return check_clip_id(readable[:room] + _DIGEST_MARK + digest)


def as_clip_id(text: str) -> str:
    """Return ``text`` if it is a clip id already, else escape it.

    Raises:
        ValueError: the text is not Unicode.
    """
    return text if is_clip_id(text) else escape_clip_id(text)


def unescape_clip_id(clip_id: str) -> str:
    """Return the text that ``escape_clip_id`` made ``clip_id`` from.

    Raises:
        ValueError: no text escapes to ``clip_id``, or it ends in a digest.
    """
    body = clip_id.removeprefix(_PREFIX)
    try:
        text = _ESCAPE.sub(
            lambda match: (
                bytes.fromhex(match[1]).decode("utf-8", "surrogateescape") if match[1] else "/"
            ),
            body,
        )
        known = escape_clip_id(text) == clip_id
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"{clip_id!r} is not an escaped clip id: no text escapes to it")
    return text


def _lead(text: str) -> str:
    return text if text[:1].isalnum() else _PREFIX + text


def _to_bytes(text: str) -> bytes:
    # Names of files that are not UTF-8 reach Python as surrogates; this is what undoes them.
    return text.encode("utf-8", "surrogateescape")
