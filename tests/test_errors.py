"""Errors survive pickling, fit on one line, and match the tree in the docstring."""

import inspect
import pickle
import re

import pytest

from farm import errors
from farm.errors import FarmBug, FarmError, UserError

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, FarmError)
}
SAMPLES: dict[str, tuple[object, ...]] = {
    "FarmError": ("strange",),
    "UserError": ("--workers 0: ask for 1 or more",),
    "BadInput": ("a.png", "is damaged"),
    "BadOutput": ("out.gif", "its suffix must be one of .png, .jpg"),
    "BadParameter": ("octaves", "should be at most 20, not 99"),
    "JobEnded": ("dream-1", "cancelled"),
    "JobHeld": ("dream-1", "process 4242 on render2"),
    "LedgerHeld": ("/home/me/ledger.db", "process 4242 on render2", "2026-11-29 14:13:32"),
    "LedgerUnavailable": ("/home/me/ledger.db", "is locked"),
    "InputChanged": ("guide.jpg", "was removed"),
    "UnknownName": ("layer", "inception4z", ("conv1", "inception4c"), "not loaded: plugin x"),
    "OutsideRoots": ("photos/../x.png", "a part of it begins with a dot", "; give ROOT/path"),
    "WrongOwner": ("ada", "bob"),
    "NotFound": ("job dream-1 is not known",),
    "Busy": ("10,000 jobs wait already; try again later",),
    "Conflict": ("the upload is complete already",),
    "TooLarge": ("the body has more than 1,000,000 bytes",),
    "OrderRefused": ("dream", "no plugin offers it"),
    "WeightsMissing": ("vgg19", "the server did not answer"),
    "PluginError": ("dream", "KeyError: 'colour' (task.py, line 3)"),
    "WorkerError": ("lost",),
    "WorkerDied": ("ray-1", "killed by signal 9"),
    "DeviceMemory": ("cuda:0", "2 GiB wanted"),
    "StorageFailed": ("out.png", "connection timed out"),
    "StorageUnavailable": ("out.png", "the disk is full; free some space"),
    "StorageFull": ("out.png", "the disk is full; free some space"),
    "OutputReplaced": ("out.png", "another worker has written it meanwhile"),
    "ServerUnavailable": ("http://127.0.0.1:8420", "connection refused"),
    "ServerFailed": ("http://127.0.0.1:8420", 500, "internal server error"),
    "ServerSilent": ("http://127.0.0.1:8420", 30.0, "ask again later"),
    "Cancelled": (),
    "JobTakenOver": ("dream-1", "process 4242 on render2"),
    "FarmBug": ("a unit was lost", ("ready", "leased to ray-1")),
}


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_survives_pickling(name: str) -> None:
    error = CLASSES[name](*SAMPLES[name])
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is type(error)
    assert (copy.args, vars(copy), str(copy)) == (error.args, vars(error), str(error))


@pytest.mark.parametrize("name", CLASSES)
def test_a_message_is_one_line_with_every_value(name: str) -> None:
    error = CLASSES[name](*SAMPLES[name])
    assert ("\n" in str(error)) == isinstance(error, FarmBug)
    if not isinstance(error, errors.UnknownName):
        assert all(value in str(error) for value in error.args if isinstance(value, str))


@pytest.mark.parametrize(
    "name", [n for n in CLASSES if CLASSES[n].__init__ is not FarmError.__init__]
)
def test_fields_are_the_positional_arguments(name: str) -> None:
    fields = list(inspect.signature(CLASSES[name]).parameters)
    error = CLASSES[name](*SAMPLES[name])
    assert tuple(getattr(error, field) for field in fields) == error.args == SAMPLES[name]


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("dreem", ["dream", "style"], "unknown task 'dreem'; did you mean dream?"),
        ("x", ["dream", "style"], "unknown task 'x'; choose one of dream, style"),
        ("x", [], "unknown task 'x'; choose one of (none)"),
        ("x", (f"t{i:02}" for i in range(30)), "unknown task 'x'; choose one of t00, "),
    ],
)
def test_an_unknown_name_suggests_known_names(name: str, known: list[str], message: str) -> None:
    text = str(errors.UnknownName("task", name, known))
    assert text.startswith(message)
    assert len(text) < 200


def test_the_tree_in_the_docstring_matches_the_classes() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for indent, name in re.findall(
        r"^ {4}((?:[│├└─] *|──+ *)*)(\w+)", errors.__doc__ or "", re.MULTILINE
    ):
        depth = len(indent.replace("─", " ")) // 4
        del above[depth:]
        drawn[name] = above[-1] if above else "Exception"
        above.append(name)
    assert drawn == {name: kind.__base__.__name__ for name, kind in CLASSES.items()}


def test_errors_that_no_user_can_fix_are_not_user_errors() -> None:
    for kind in (errors.PluginError, errors.WorkerError, errors.Cancelled, FarmBug):
        assert not issubclass(kind, UserError)


def test_only_the_first_of_many_names_are_compared() -> None:
    many = [*(f"clip-{number}" for number in range(5000)), "panorama-1"]
    assert "did you mean clip-7" in str(errors.UnknownName("unit", "clip-7", many))
    assert "did you mean" not in str(errors.UnknownName("unit", "panorama", many))
