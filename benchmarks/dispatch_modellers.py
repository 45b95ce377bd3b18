"""The compared day as users of Pyomo, linopy and PyPSA write it, each re-solved as its manual advises.

With Pyomo that is a model that is kept, with parameters that change; many write theirs anew all the same.
"""

import logging
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from tests.cases import case_4

from benchmarks.dispatch_peers import STEPS, Plan, day
from digital_twin.domain.units import Array


def with_pyomo(*, is_kept: bool) -> Plan | None:
    """APPSI, its persistent interface to HiGHS; None where it is not installed.

    Args:
        is_kept: the model stays in the solver and gets other parameters; otherwise it is written anew for each day.
    """
    try:
        import pyomo.environ as pe
        from pyomo.contrib.appsi.solvers import Highs
    except ImportError:
        return None
    logging.getLogger("pyomo").setLevel(logging.ERROR)
    solver = Highs()
    solver.highs_options = {"threads": 1}
    solver.config.stream_solver = False
    if not is_kept:

        def plan_anew(number: int) -> float:
            model = pyomo_model(_columns(number))
            solver.solve(model)
            return float(pe.value(model.cost))

        return plan_anew
    for what in (
        "check_for_new_or_removed_constraints", "check_for_new_or_removed_vars", "check_for_new_or_removed_params",
        "check_for_new_objective", "update_constraints", "update_vars", "update_named_expressions", "update_objective",
    ):  # fmt: skip
        setattr(solver.update_config, what, False)
    solver.update_config.treat_fixed_vars_as_params = True
    model = pyomo_model(_columns(0))

    def plan(number: int) -> float:
        for name, values in _columns(number).items():
            parameter = getattr(model, name)
            for t, value in enumerate(values.tolist()):
                parameter[t] = value
        solver.solve(model)
        return float(pe.value(model.cost))

    return plan


def _columns(number: int) -> dict[str, Array]:
    outlook = day(number).outlook
    return {
        "net_kw": outlook.load_kw - outlook.pv_kw, "pv_kw": outlook.pv_kw,
        "price": outlook.import_price_per_kwh, "feed_in": outlook.export_price_per_kwh,
    }  # fmt: skip


def pyomo_model(columns: Mapping[str, Array]) -> Any:
    """The day in Pyomo, with parameters that may be changed."""
    import pyomo.environ as pe

    problem = case_4(STEPS)
    store, limits, hours = problem.storage, problem.limits, problem.outlook.grid.step_hours
    model = pe.ConcreteModel()
    model.t = pe.RangeSet(0, STEPS - 1)
    for name, values in columns.items():
        setattr(model, name, pe.Param(model.t, mutable=True, initialize=dict(enumerate(values.tolist()))))
    for name, most in (
        ("charge", store.power_kw), ("discharge", store.power_kw), ("soc", store.capacity_kwh),
        ("imported", limits.import_kw), ("exported", limits.export_kw), ("curtailed", None),
    ):  # fmt: skip
        setattr(model, name, pe.Var(model.t, bounds=(0, most)))
    model.balance = pe.Constraint(
        model.t,
        rule=lambda m, t: m.imported[t] - m.exported[t] + m.discharge[t] - m.charge[t] - m.curtailed[t] == m.net_kw[t],
    )
    model.sun = pe.Constraint(model.t, rule=lambda m, t: m.curtailed[t] <= m.pv_kw[t])
    model.stored = pe.Constraint(
        model.t,
        rule=lambda m, t: (
            m.soc[t] - (m.soc[t - 1] if t else store.initial_kwh)
            == hours * (store.charge_efficiency * m.charge[t] - m.discharge[t] / store.discharge_efficiency)
        ),
    )
    model.last = pe.Constraint(expr=model.soc[STEPS - 1] >= store.final_min_kwh)
    model.cost = pe.Objective(
        expr=hours * sum(model.price[t] * model.imported[t] - model.feed_in[t] * model.exported[t] for t in model.t)
    )
    return model


def with_linopy() -> Plan | None:
    """A model anew for each day, handed over without files; None where it is not installed."""
    try:
        import linopy
    except ImportError:
        return None
    import pandas as pd
    import xarray as xr

    logging.getLogger("linopy").setLevel(logging.ERROR)

    def plan(number: int) -> float:
        problem = day(number)
        outlook, store, limits = problem.outlook, problem.storage, problem.limits
        hours = outlook.grid.step_hours
        t = pd.RangeIndex(STEPS, name="t")

        def column(values: Array | float) -> xr.DataArray:
            return xr.DataArray(np.broadcast_to(values, STEPS).astype(np.float64), coords=[t])

        model = linopy.Model()
        charge = model.add_variables(0, column(store.power_kw), name="charge")
        discharge = model.add_variables(0, column(store.power_kw), name="discharge")
        least = np.zeros(STEPS)
        least[-1] = store.final_min_kwh
        soc = model.add_variables(column(least), column(store.capacity_kwh), name="soc")
        imported = model.add_variables(0, column(limits.import_kw), name="imported")
        exported = model.add_variables(0, column(limits.export_kw), name="exported")
        curtailed = model.add_variables(0, column(outlook.pv_kw), name="curtailed")
        net = imported - exported + discharge - charge - curtailed
        model.add_constraints(net == column(outlook.load_kw - outlook.pv_kw), name="balance")
        before = np.zeros(STEPS)
        before[0] = store.initial_kwh
        stored = hours * store.charge_efficiency * charge - hours / store.discharge_efficiency * discharge
        model.add_constraints(soc - soc.shift(t=1).fillna(0) - stored == column(before), name="stored")
        price, feed_in = column(outlook.import_price_per_kwh), column(outlook.export_price_per_kwh)
        model.add_objective(hours * ((price * imported).sum() - (feed_in * exported).sum()))
        model.solve("highs", io_api="direct", progress=False, output_flag=False, threads=1)
        return float(model.objective.value or 0.0)

    return plan


def with_pypsa() -> Plan | None:
    """PyPSA as its manual shows, with its faster direct interface; None where it is not installed."""
    try:
        import pypsa
    except ImportError:
        return None
    import pandas as pd

    for name in ("pypsa", "linopy"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")

    def plan(number: int) -> float:
        problem = day(number)
        outlook, store, limits = problem.outlook, problem.storage, problem.limits
        network = pypsa.Network()
        network.set_snapshots(pd.date_range("2026-03-02", periods=STEPS, freq="15min"))
        network.snapshot_weightings = network.snapshot_weightings.astype(float) * outlook.grid.step_hours
        columns = partial(pd.Series, index=network.snapshots)
        network.add("Bus", "community")
        network.add("Load", "load", bus="community", p_set=columns(outlook.load_kw))
        network.add("Generator", "pv", bus="community", p_nom=1.0, p_max_pu=columns(outlook.pv_kw))
        network.add(
            "Generator", "import", bus="community", p_nom=limits.import_kw,
            marginal_cost=columns(outlook.import_price_per_kwh),
        )  # fmt: skip
        network.add(
            "Generator", "export", bus="community", p_nom=limits.export_kw, sign=-1,
            marginal_cost=columns(-outlook.export_price_per_kwh),
        )  # fmt: skip
        final = columns(np.append(np.full(STEPS - 1, np.nan), store.final_min_kwh))
        network.add(
            "StorageUnit", "battery", bus="community", p_nom=store.power_kw,
            max_hours=store.capacity_kwh / store.power_kw, efficiency_store=store.charge_efficiency,
            efficiency_dispatch=store.discharge_efficiency, state_of_charge_initial=store.initial_kwh,
            cyclic_state_of_charge=False, state_of_charge_set=final,
        )  # fmt: skip
        network.optimize(solver_name="highs", log_to_console=False, io_api="direct")
        return float(network.objective)

    return plan
