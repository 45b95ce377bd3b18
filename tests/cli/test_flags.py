"""Commands of many flags: a dataclass becomes its flags, and the flags become it again."""

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from digital_twin.cli.flags import flag, with_flags


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command is told of."""

    size: Annotated[int, flag("How it is", "How large", "--how-large", min=1)] = 3
    is_round: Annotated[bool, flag("How it is", "Whether it is round")] = False
    found_out: str = "later"


told: list[tuple[str, Wanted, str | None]] = []


@with_flags
def make(name: str, wanted: Wanted, where: str | None = None) -> None:
    """Make one."""
    told.append((name, wanted, where))


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(make)
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output


def test_flags_of_fields_make_the_object_and_others_keep_their_default() -> None:
    told.clear()
    assert run("ball", "--how-large", "7", "--is-round", "--where", "here")[0] == 0
    assert run("box")[0] == 0
    assert told == [("ball", Wanted(size=7, is_round=True), "here"), ("box", Wanted(), None)]


def test_what_a_field_says_holds_for_its_flag() -> None:
    code, output = run("ball", "--how-large", "0")
    assert (code, "how-large" in output) == (2, True)
    shown = run("--help")[1]
    assert "How it is" in shown
    assert "Whether it is round" in shown


def test_a_field_that_is_no_flag_cannot_be_given() -> None:
    assert run("ball", "--found-out", "now")[0] == 2
    assert "found" not in run("--help")[1]
