"""Run by the Python that has FlexMeasures: plans the days that are told as lines of JSON, by its scheduler in process.

What a day holds is stored as its sensors' beliefs beforehand; reading them is part of the plan, as it is for its users.
"""

import json
import logging
import sys
import time
import warnings

import numpy as np
import pandas as pd
import timely_beliefs as tb
from flexmeasures.app import create
from flexmeasures.data import db
from flexmeasures.data.models.data_sources import DataSource
from flexmeasures.data.models.generic_assets import GenericAsset, GenericAssetType
from flexmeasures.data.models.planning.storage import StorageScheduler
from flexmeasures.data.models.time_series import Sensor, TimedBelief
from flexmeasures.data.models.user import Account
from flexmeasures.data.utils import save_to_db

warnings.filterwarnings("ignore")
FIRST = pd.Timestamp("2026-06-01T00:00+00:00")
app = create()
logging.disable(logging.CRITICAL)


def sensors(day):
    """One battery behind one connection, with what stands beside it."""
    account, kind = Account(name="planned"), GenericAssetType(name="community battery")
    source = DataSource(name="told", type="forecaster")
    db.session.add_all([account, kind, source])
    db.session.flush()
    asset = GenericAsset(name="community", generic_asset_type=kind, owner=account)
    db.session.add(asset)
    db.session.flush()
    made = {}
    for name, unit in (("battery", "kW"), ("load", "kW"), ("pv", "kW"), ("price", "EUR/kWh"), ("feed_in", "EUR/kWh")):
        made[name] = Sensor(
            name=name,
            generic_asset=asset,
            unit=unit,
            timezone="UTC",
            event_resolution=pd.Timedelta(minutes=day["step_minutes"]),
        )
        db.session.add(made[name])
        db.session.flush()
    for name in ("battery", "load"):
        made[name].attributes = {"consumption_is_positive": True}
    db.session.commit()
    return made, source


def store(sensor, source, start, values):
    known = start - pd.Timedelta(days=1)
    instants = pd.date_range(start, periods=len(values), freq=sensor.event_resolution)
    beliefs = [
        TimedBelief(
            sensor=sensor,
            source=source,
            event_start=at,
            belief_time=known,
            event_value=value,
            cumulative_probability=0.5,
        )
        for at, value in zip(instants, values, strict=True)
    ]
    save_to_db(tb.BeliefsDataFrame(beliefs))


def scheduler(day, made, start):
    end = start + pd.Timedelta(days=1)
    context = {
        "consumption-price": {"sensor": made["price"].id},
        "production-price": {"sensor": made["feed_in"].id},
        "site-power-capacity": "1 GW",
        "site-consumption-capacity": f"{day['import_kw']} kW",
        "site-production-capacity": f"{day['export_kw']} kW",
        "inflexible-consumption": [{"sensor": made["load"].id}],
        "inflexible-production": [{"sensor": made["pv"].id}],
        "relax-constraints": False,
    }
    percent = f"{100 * day['efficiency']:g}%"
    storage = {
        "soc-unit": "kWh", "soc-at-start": f"{day['initial_kwh']} kWh", "soc-min": "0 kWh",
        "soc-max": f"{day['capacity_kwh']} kWh", "power-capacity": f"{day['power_kw']} kW",
        "charging-efficiency": percent, "discharging-efficiency": percent,
        "soc-targets": [{"datetime": end.isoformat(), "value": f"{day['initial_kwh']} kWh"}],
        "prefer-charging-sooner": False, "prefer-curtailing-later": False,
    }  # fmt: skip
    return StorageScheduler(
        sensor=made["battery"], start=start, end=end, resolution=made["battery"].event_resolution, belief_time=start,
        flex_model=storage, flex_context=context,
    )  # fmt: skip


def charged_kw(found):
    series = found if isinstance(found, pd.Series) else found[0]["data"]
    values = series.to_numpy(dtype=float)
    return values if np.abs(values).max() > 1 else 1000 * values


def cost_of(day, battery_kw):
    net = np.array(day["load_kw"]) - np.array(day["pv_kw"]) + battery_kw
    prices = np.where(net > 0, day["import_price_per_kwh"], day["export_price_per_kwh"])
    return float(net @ prices) * day["step_minutes"] / 60


with app.app_context():
    made, source = None, None
    for line in sys.stdin:
        day = json.loads(line)
        if made is None:
            made, source = sensors(day)
        start = FIRST + pd.Timedelta(days=2 * day["number"])
        columns = {"load": "load_kw", "pv": "pv_kw", "price": "import_price_per_kwh", "feed_in": "export_price_per_kwh"}
        for name, column in columns.items():
            store(made[name], source, start, day[column])
        db.session.commit()
        started = time.process_time()
        found = scheduler(day, made, start).compute()
        seconds = time.process_time() - started
        print(json.dumps({"cost": cost_of(day, charged_kw(found)), "seconds": seconds}), flush=True)
