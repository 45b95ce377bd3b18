"""Run by the Python that has EMHASS: plans the days that are told as lines of JSON, with one problem that is kept.

EMHASS limits the battery on its own side of the inverter, so the limit is given as what leaves 200 kW outside; its gap
of the mixed-integer program is 1 % unless told otherwise, which would leave money on the table.
"""

import asyncio
import copy
import json
import logging
import sys
import time
import warnings
from pathlib import Path

import emhass
import numpy as np
import orjson
import pandas as pd
from emhass.optimization import Optimization
from emhass.utils import build_config, build_params, build_secrets, get_yaml_parse

warnings.filterwarnings("ignore")
WATTS = 1000.0
GAP = 1e-6
LOG = logging.getLogger("days")
LOG.setLevel(logging.ERROR)
PACKAGE = Path(emhass.__file__).parent
CONF = {
    "data_path": Path.cwd(),
    "root_path": PACKAGE,
    "defaults_path": PACKAGE / "data" / "config_defaults.json",
    "associations_path": PACKAGE / "data" / "associations.csv",
}


async def defaults():
    config = await build_config(CONF, LOG, CONF["defaults_path"])
    _, secrets = await build_secrets(CONF, LOG, no_response=True)
    params = await build_params(CONF, secrets, config, LOG)
    return get_yaml_parse(orjson.dumps(params).decode(), LOG)


def planner(day):
    """The problem of days like this one."""
    retrieve, optimization, plant = copy.deepcopy(asyncio.run(defaults()))
    steps = len(day["load_kw"])
    retrieve["optimization_time_step"] = pd.Timedelta(minutes=day["step_minutes"])
    optimization |= {
        "set_use_battery": True, "set_use_pv": True, "set_nodischarge_to_grid": False,
        "set_nocharge_from_grid": False, "number_of_deferrable_loads": 0, "weight_battery_discharge": 0.0,
        "weight_battery_charge": 0.0, "delta_forecast_daily": pd.Timedelta(days=1),
        "lp_solver_mip_rel_gap": GAP, "num_threads": 1,
    }  # fmt: skip
    optimization |= {name: [] for name in optimization if "deferrable" in name and name != "number_of_deferrable_loads"}
    optimization["def_load_config"] = []
    power = day["power_kw"] * WATTS
    plant |= {
        "maximum_power_from_grid": day["import_kw"] * WATTS, "maximum_power_to_grid": day["export_kw"] * WATTS,
        "battery_discharge_power_max": power / day["efficiency"], "battery_charge_power_max": power,
        "battery_discharge_efficiency": day["efficiency"], "battery_charge_efficiency": day["efficiency"],
        "battery_nominal_energy_capacity": day["capacity_kwh"] * WATTS, "battery_minimum_state_of_charge": 0.0,
        "battery_maximum_state_of_charge": 1.0,
        "battery_target_state_of_charge": day["initial_kwh"] / day["capacity_kwh"], "inverter_is_hybrid": False,
        "inverter_ac_output_max": 1e6, "inverter_ac_input_max": 1e6, "compute_curtailment": False,
    }  # fmt: skip
    names = ("unit_load_cost", "unit_prod_price", "profit")
    return Optimization(retrieve, optimization, plant, *names, CONF, LOG, num_timesteps=steps)


def table(day):
    index = pd.date_range("2026-06-01", periods=len(day["load_kw"]), freq=f"{day['step_minutes']}min", tz="UTC")
    return pd.DataFrame(
        {
            "unit_load_cost": day["import_price_per_kwh"],
            "unit_prod_price": day["export_price_per_kwh"],
            "p_pv_forecast": np.array(day["pv_kw"]) * WATTS,
            "p_load_forecast": np.array(day["load_kw"]) * WATTS,
        },
        index=index,
    )


def cost_of(day, battery_kw):
    net = np.array(day["load_kw"]) - np.array(day["pv_kw"]) - battery_kw
    prices = np.where(net > 0, day["import_price_per_kwh"], day["export_price_per_kwh"])
    return float(net @ prices) * day["step_minutes"] / 60


problem = None
for line in sys.stdin:
    day = json.loads(line)
    frame, full = table(day), day["initial_kwh"] / day["capacity_kwh"]
    if problem is None:
        problem = planner(day)
    started = time.process_time()
    found = problem.perform_dayahead_forecast_optim(
        frame, frame["p_pv_forecast"], frame["p_load_forecast"], soc_init=full, soc_final=full
    )
    seconds = time.process_time() - started
    print(json.dumps({"cost": cost_of(day, found["P_batt"].values / WATTS), "seconds": seconds}), flush=True)
