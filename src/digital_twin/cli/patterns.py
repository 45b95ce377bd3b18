"""`digital-twin patterns`: what is typical of homes and days, and which days are unlike others."""

from typing import Annotated, Any

import typer

from digital_twin.cli.parameters import AsJson, CommunityOption, Url

DEVICES = {"heat_pump": "heat pump", "ev": "EV", "pv": "PV"}


def patterns(
    community: CommunityOption,
    days: Annotated[int, typer.Option(min=1, help="How far back")] = 56,
    member: Annotated[str | None, typer.Option(help="One member")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what is typical: groups of homes, heat pumps, vehicles and PV behind meters, unusual days."""
    from digital_twin.cli import output
    from digital_twin.cli.credentials import connect

    with connect(url) as client:
        answer = client.patterns(community, days=days, member_id=member)
    if as_json:
        output.console.print_json(data=answer)
        return
    if answer["own"] is not None:
        output.console.print(_kinds_table(answer["own"]))
        if answer["own"]["unusual"]:
            output.console.print(_unusual_table(answer["own"]["unusual"]))
        if member is not None:
            output.console.print(_devices_table([(member, answer["own"]["pattern"])]))
    if answer["members"] is not None:
        output.console.print(_groups_table(answer["members"]["groups"]))
        known = [(one["member_id"], one["pattern"]) for one in answer["members"]["page"] if one["pattern"]]
        output.console.print(_devices_table(known))
        output.console.print(_summary(answer["members"]))


def _kinds_table(own: dict[str, Any]) -> Any:
    from digital_twin.cli import output

    rows = [[kind["name"], kind["count"]] for kind in own["kinds"]["groups"]]
    return output.table(f"Days of {own['series']}", ["kind of day", "days"], rows)


def _unusual_table(unusual: list[dict[str, Any]]) -> Any:
    from digital_twin.cli import output

    rows = [[one["day"], one["because"], f"{one['distance']:.1f}"] for one in unusual]
    return output.table("Unusual days, the farthest first", ["day", "why", "deviations"], rows, is_text=True)


def _groups_table(groups: dict[str, Any]) -> Any:
    from digital_twin.cli import output

    rows = [[one["name"], one["count"]] for one in groups["groups"]]
    return output.table("Groups of homes", ["typical day", "homes"], rows)


def _devices_table(known: list[tuple[str, dict[str, Any]]]) -> Any:
    from digital_twin.cli import output

    rows = [
        [
            member_id,
            pattern["shape"],
            f"{pattern['mean_kw']:.2f}",
            *(f"{100 * pattern['devices'][name]['probability']:.0f} %" for name in DEVICES),
        ]
        for member_id, pattern in known
    ]
    columns = ["member", "typical day", "mean kW", *DEVICES.values()]
    return output.table("What homes seem to have", columns, rows, is_text=True)


def _summary(members: dict[str, Any]) -> str:
    expected = ", ".join(f"{members['expected'][name]:.0f} with {shown}" for name, shown in DEVICES.items())
    return f"Of {members['with_pattern']} homes with enough readings about: {expected}"
