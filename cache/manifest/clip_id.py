"""Clip ids: names that are safe as file names in a cache, and any text turned into one.

An id is ASCII letters, digits, ``.``, ``_`` and ``-``, starts with a letter or digit and has at
most 200 characters, so that it can't leave a folder or collide with a temporary file.

``escape_clip_id`` keeps text readable and can be undone: ``/`` becomes ``--``, whatever an id can't
hold becomes ``.-`` + hex of its UTF-8 + ``-``, and text whose id would not start with a letter or
digit gets ``0.--`` in front. ``angry/clip 01.mp4`` becomes ``angry--clip.-20-01.mp4``.
"""

from __future__ import annotations

import re

MAX_CLIP_ID_LENGTH = 200

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What an escape may not leave as it is: other characters, and those that read as an escape:
# a dash beside a dash or slash, a dot before one.
_UNSAFE = re.compile(r"(?:[^A-Za-z0-9._/-]|(?<=[-/])-|-(?=[-/])|\.(?=[-/]))+")
_ESCAPE = re.compile(r"\.-((?:[0-9a-f]{2})+)-|--")
_PREFIX = "0.--"


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


def escape_clip_id(text: str) -> str:
    """Turn any text, a relative path for one, into a clip id that no other text yields.

    Text without ``/``, odd characters, doubled dashes or a dot before a dash is returned as it is.
    Two texts that differ only in case yield ids that differ only in case.

    Raises:
        ValueError: the id would be too long, or the text is not Unicode (a lone surrogate that
            stands for no byte of a file name).
    """
    try:
        escaped = _UNSAFE.sub(lambda match: f".-{_to_bytes(match[0]).hex()}-", text)
    except UnicodeEncodeError as error:
        raise ValueError(f"{text!r} can't become a clip id: {error.reason}") from error
    escaped = escaped.replace("/", "--")
    if not escaped[:1].isalnum():
        escaped = _PREFIX + escaped
    return check_clip_id(escaped)


def as_clip_id(text: str) -> str:
    """Return ``text`` if it is a clip id already, else escape it.

    Raises:
        ValueError: the id would be too long, or the text is not Unicode.
    """
    return text if _ID.fullmatch(text) and len(text) <= MAX_CLIP_ID_LENGTH else escape_clip_id(text)


def unescape_clip_id(clip_id: str) -> str:
    """Return the text that ``escape_clip_id`` made ``clip_id`` from.

    Raises:
        ValueError: no text escapes to ``clip_id``.
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


def _to_bytes(text: str) -> bytes:
    # Names of files that are not UTF-8 reach Python as surrogates; this is what undoes them.
    return text.encode("utf-8", "surrogateescape")
