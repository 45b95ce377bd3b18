"""Commands of many flags: what belongs together is one dataclass, each of whose fields is a flag."""

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from typing import Any

import typer
from typer.models import OptionInfo


def flag(panel: str, text: str, *names: str, **limits: Any) -> Any:
    """A flag under a heading of the help; its name is that of its field unless others are given."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **limits)


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command with, in place of each parameter that is a dataclass, those of its fields that are flags."""
    signature = inspect.signature(command, eval_str=True)
    objects: dict[str, Any] = {
        name: one.annotation for name, one in signature.parameters.items() if is_dataclass(one.annotation)
    }
    flags = {name: _flags_of(kind) for name, kind in objects.items()}

    @wraps(command)
    def run(**given: Any) -> None:
        made = {name: objects[name](**{one.name: given.pop(one.name) for one in flags[name]}) for name in objects}
        command(**given, **made)

    shown = [each for name, one in signature.parameters.items() for each in flags.get(name, [one])]
    shown = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in shown]
    run.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    return run


def _flags_of(kind: Any) -> list[inspect.Parameter]:
    fields = inspect.signature(kind, eval_str=True).parameters.values()
    return [one for one in fields if any(isinstance(said, OptionInfo) for said in _said_of(one))]


def _said_of(field: inspect.Parameter) -> tuple[Any, ...]:
    return getattr(field.annotation, "__metadata__", ())
