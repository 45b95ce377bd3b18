"""Import and export registers of a grid meter as the series they make together."""

from digital_twin.cli.meter_files.guesses import Notes
from digital_twin.cli.meter_files.intervals import Placed, on_common_grid
from digital_twin.domain.errors import InvalidInput
from digital_twin.domain.readings import SeriesKey, SeriesValues

Parts = dict[str, Placed]
"""What one member has, by series name or by register, in kW."""


def combined(member: str | None, parts: Parts, notes: Notes) -> list[SeriesValues]:
    """The member's series; import and export become the net load, or with generation beside them the load.

    Raises:
        InvalidInput: one register alone, or one whose meaning the other columns leave open.
    """
    drawn, fed = parts.get("import"), parts.get("export")
    whole = {name: part for name, part in parts.items() if name not in ("import", "export")}
    series = [SeriesValues(SeriesKey(name, member), part.grid, part.values) for name, part in whole.items()]
    if drawn is None and fed is None:
        return series
    if "load_kw" in whole and "pv_kw" in whole:
        notes.guess("registers", "left out", "the file has the load and the generation")
        return series
    if drawn is None or fed is None:
        _refuse_lone_register("import" if fed is None else "export", "load_kw" in whole)
    assert drawn is not None
    assert fed is not None
    pv = whole.get("pv_kw")
    if pv is None:
        grid, (taken, given) = on_common_grid([drawn, fed])
        notes.guess("registers", "net_load_kw = import - export", "generation behind the meter is not in the file")
        return [*series, SeriesValues(SeriesKey("net_load_kw", member), grid, taken - given)]
    grid, (taken, given, made) = on_common_grid([drawn, fed, pv])
    notes.guess("registers", "load_kw = import - export + pv", "the file has both registers and the generation")
    return [*series, SeriesValues(SeriesKey("load_kw", member), grid, taken - given + made)]


def _refuse_lone_register(register: str, has_load: bool) -> None:
    if register == "export" and has_load:
        raise InvalidInput(
            "is the consumption beside the export register what is drawn from the grid, or all that is used? "
            "in the first case name both with --import-column and --export-column, else choose with --columns",
            field="import-column",
        )
    series = (
        "load_kw where nothing is generated behind the meter" if register == "import" else "pv_kw where all is fed in"
    )
    raise InvalidInput(
        f"the {register} register stands alone: say --series {series}, or bring both registers in one file",
        field="series",
    )
