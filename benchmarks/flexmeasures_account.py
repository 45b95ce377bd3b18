"""Run by the peer's own Python: what its sensors need, told as JSON."""

import json
import sys

from flexmeasures.app import create
from flexmeasures.data import db
from flexmeasures.data.models.generic_assets import GenericAsset, GenericAssetType
from flexmeasures.data.models.time_series import Sensor
from flexmeasures.data.models.user import Account
from flexmeasures.data.services.users import create_user

app = create()
with app.app_context():
    account = Account(name="measured")
    kind = GenericAssetType(name="meter")
    db.session.add_all([account, kind])
    db.session.flush()
    user = create_user(
        username="sender", email="sender@example.org", password=sys.argv[1], account_name=account.name,
        user_roles=["account-admin"], check_email_deliverability=False,
    )  # fmt: skip
    asset = GenericAsset(name="home", generic_asset_type=kind, owner=account)
    db.session.add(asset)
    db.session.flush()
    sensor = Sensor(name="load", generic_asset=asset, unit="kW", event_resolution="PT15M", timezone="UTC")
    db.session.add(sensor)
    db.session.commit()
    print(json.dumps({"sensor": sensor.id, "token": user.get_auth_token()}))
