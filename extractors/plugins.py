"""Plug-ins: networks, corpora, audio encoders and poolings that other distributions offer.

A distribution names them as entry points of the groups below. To list them reads the metadata of
what is installed and imports nothing; a plug-in is imported when it is used, and one that can't be
fails only what asked for it. Its distribution's name and version are recorded with everything made
by it: in the keys of feature sets, in runs and in checkpoints.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NETWORKS, CORPORA = "avfuse.networks", "avfuse.corpora"
ENCODERS, POOLINGS = "avfuse.encoders", "avfuse.poolings"
PLUGIN = "plugin"  # the setting of a feature set, and the field of a run, that record one

# Names of avfuse's own, which no plug-in can take.
BUILT_IN: Mapping[str, tuple[str, ...]] = {
    # The other feature sets and the detectors, too: their names stand in --sets and --weights.
    NETWORKS: (
        *("ir50", "iresnet50", "resnet18", "resnet29", "vggface"),
        *("faces", "identity", "spectrogram", "logmel", "voice", "alexnet", "mmod", "yunet"),
    ),
    CORPORA: (
        *("afew", "ch-sims", "crema-d", "csv", "dfew", "emo-db", "enterface", "folder", "iemocap"),
        *("mafw", "mead", "meld", "mer2023", "ravdess", "savee"),
    ),
    ENCODERS: ("none", "alexnet", "cnn"),
    POOLINGS: ("mean", "self", "relation", "transformer", "statistics"),
}


@dataclass(frozen=True)
class _Kind:
    """One group: what messages call its members, what one is, and a check of that."""

    noun: str
    expected: str
    fits: Callable[[Any], bool]


_KINDS: Mapping[str, _Kind] = {
    NETWORKS: _Kind(
        "network",
        "an extractors.networks.NetworkSpec",
        lambda value: all(hasattr(value, name) for name in ("build", "image_size", "layers")),
    ),
    CORPORA: _Kind(
        "corpus",
        "a function index(root, *, follow_links) that returns a pipeline.index.files.Found",
        callable,
    ),
    ENCODERS: _Kind(
        "audio encoder",
        "a class of torch modules, built as Encoder(num_bins, in_channels)",
        lambda value: isinstance(value, type),
    ),
    POOLINGS: _Kind(
        "pooling",
        "a class of torch modules, built as Pooling(dim)",
        lambda value: isinstance(value, type),
    ),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_OF_ERROR = 500  # characters of another's exception that are repeated


class PluginError(ValueError):
    """A plug-in is missing, of another version, can't be imported, or isn't what it should be."""


@dataclass(frozen=True)
class Plugin:
    """Something that a distribution offers under a name.

    Args:
        group: of the entry point, such as ``POOLINGS``.
        name: as it is asked for.
        distribution: the name under which it is installed.
        version: of the distribution.
        entry: the entry point, ``module:attribute``.
        problem: why it can't be used, known before it is imported; empty for none.
    """

    group: str
    name: str
    distribution: str
    version: str
    entry: importlib.metadata.EntryPoint = field(repr=False)
    problem: str = ""

    def __str__(self) -> str:
        noun = _KINDS[self.group].noun
        return f"{noun} {_shown(self.name)} of the plug-in {self.distribution} {self.version}"

    @property
    def facts(self) -> dict[str, str]:
        """The distribution's name and version, as they are recorded."""
        return {"distribution": self.distribution, "version": self.version}

    def load(self) -> Any:
        """Import it.

        Raises:
            PluginError: two distributions offer it, its import raises, or it is something else than
                its group expects.
        """
        if self.problem:
            raise PluginError(self.problem)
        try:
            value = self.entry.load()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"the {self} can't be loaded: {self.entry.value} raised {shown_error(error)}; "
                f"repair it, or uninstall it (pip uninstall {self.distribution})"
            ) from error
        kind = _KINDS[self.group]
        if not kind.fits(value):
            raise self.mismatch(value)
        return value

    def mismatch(self, found: object) -> PluginError:
        """Say that it is something else than its group expects."""
        return PluginError(
            f"the {self}, {self.entry.value}, must be {_KINDS[self.group].expected}; got "
            f"{_shown(repr(found))}"
        )


@dataclass(frozen=True)
class _Scan:
    """Plug-ins of a group that are installed, and problems of names that can't be asked for."""

    plugins: Mapping[str, Plugin]
    problems: Mapping[str, str]


def read_plugins(group: str) -> Mapping[str, Plugin]:
    """Return the plug-ins of a group by their names, in the order of these; import none."""
    return _scan(group, tuple(sys.path)).plugins


def find_plugin(group: str, name: str) -> Plugin:
    """Return a plug-in by its name.

    Raises:
        PluginError: no plug-in of that name is installed, or it can't have that name.
    """
    scan = _scan(group, tuple(sys.path))
    if name not in scan.plugins:
        noun = _KINDS[group].noun
        raise PluginError(scan.problems.get(name) or f"no {noun} is called {_shown(name)}")
    return scan.plugins[name]


def find_problems(
    group: str, load: Callable[[Plugin], object] = lambda plugin: plugin.load()
) -> Iterator[str]:
    """Load every plug-in of a group and yield what is wrong with them, a sentence each."""
    scan = _scan(group, tuple(sys.path))
    yield from scan.problems.values()
    for plugin in scan.plugins.values():
        try:
            load(plugin)
        except PluginError as error:
            yield str(error)


def check_recorded(group: str, name: str, recorded: Mapping[str, Any] | None) -> None:
    """Check that what is installed is what something was made with.

    Args:
        group: of the plug-in.
        name: its name.
        recorded: the ``facts`` of that time, perhaps among others; None if it was avfuse's own.

    Raises:
        PluginError: it isn't installed, or in another version, or of another distribution.
    """
    plugin = read_plugins(group).get(name)
    facts = recorded and {key: str(recorded.get(key)) for key in ("distribution", "version")}
    if (plugin and plugin.facts) == facts:
        return
    noun = _KINDS[group].noun
    if facts is None:
        raise PluginError(f"the {noun} {_shown(name)} was avfuse's own, and is now the {plugin}")
    distribution, version = map(_shown, facts.values())
    here = f"and here is the {plugin}" if plugin else "which is not installed here"
    raise PluginError(
        f"needs the {noun} {_shown(name)} of the plug-in {distribution} {version}, {here}; "
        f"install {distribution} {version}"
    )


def describe_used(used: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Return what a run records of its plug-ins: group, name, distribution and version.

    Args:
        used: groups and names; those of avfuse's own are passed over.
    """
    found = {
        (group, name): read_plugins(group)[name].facts
        for group, name in used
        if name in read_plugins(group)
    }
    return [{"group": group, "name": name, **facts} for (group, name), facts in found.items()]


def shown_error(error: BaseException) -> str:
    """Write an exception of another's code in one line of printable characters."""
    text = f"{type(error).__name__}: {error}"
    return _shown(" ".join(text.split()))


@functools.lru_cache(maxsize=16)
def _scan(group: str, path: tuple[str, ...]) -> _Scan:
    """Read what is installed on a path; that is part of the arguments for the cache alone."""
    del path
    by_name: dict[str, list[Plugin]] = defaultdict(list)
    for entry in importlib.metadata.entry_points(group=group):
        distribution = entry.dist
        name = (distribution and distribution.metadata["Name"]) or "(without a name)"
        version = (distribution and distribution.metadata["Version"]) or "(without a version)"
        by_name[entry.name].append(Plugin(group, entry.name, _shown(name), _shown(version), entry))
    plugins: dict[str, Plugin] = {}
    problems: dict[str, str] = {}
    for name, (first, *others) in sorted(by_name.items()):
        if not _NAME.fullmatch(name):
            problems[name] = (
                f"the {first} can't be used: a name has at most 64 letters, digits, '.', '_' and "
                "'-', the first a letter or digit"
            )
        elif name in BUILT_IN[group]:
            problems[name] = (
                f"the {first} is not used: avfuse has its own {name}; the plug-in must give it "
                "another name"
            )
        elif others:
            both = " and ".join(f"{one.distribution} {one.version}" for one in (first, *others))
            plugins[name] = replace(
                first,
                problem=f"the {_KINDS[group].noun} {name} is offered by {both}; uninstall all but "
                "one",
            )
        else:
            plugins[name] = first
    return _Scan(plugins, problems)


def _shown(text: str) -> str:
    """Return a text with its unprintable characters as question marks, cut to a length."""
    cut = text[:_MOST_OF_ERROR] + ("..." if len(text) > _MOST_OF_ERROR else "")
    return "".join(char if char.isprintable() else "?" for char in cut)
