"""The deployment's files agree with the program and with each other."""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.programs import program

from digital_twin.settings import Settings
from digital_twin.telemetry import REGISTRY

ROOT = Path(__file__).parents[1]
PROMETHEUS, GRAFANA = ROOT / "deployment" / "prometheus", ROOT / "deployment" / "grafana"
DOCKERFILE = (ROOT / "deployment" / "docker" / "Dockerfile").read_text()
EXAMPLE = (ROOT / "config" / ".env.example").read_text()
DEPLOY = ROOT / "scripts" / "deployment" / "deploy.sh"
OURS = ("api", "worker", "ingest", "dashboard")
SERVICES = (*OURS, "broker", "db", "redis", "prometheus", "grafana")
SETTINGS = {name.upper() for name in Settings.model_fields}
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(?:(:[-?])([^}]*))?\}")
SECRET = re.compile(r"(PASSWORD|_KEY)$")


@cache
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def service(name: str) -> dict[str, Any]:
    return compose()["services"][name]


def texts(node: Any) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from (*texts(key), *texts(value))
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def variables() -> dict[str, tuple[str, str]]:
    """What docker-compose.yml reads: each name with `:-` and its default, or with `:?` and what to do."""
    return {name: (kind, rest) for text in texts(compose()) for name, kind, rest in VARIABLE.findall(text)}


def deployment_section() -> dict[str, str]:
    """The names that config/.env.example documents for the deployment alone, with their defaults."""
    section = EXAMPLE.partition("# --- Deployment with Docker")[2]
    return dict(re.findall(r"^# ([A-Z0-9_]+)=(.*)$", section, re.MULTILINE))


def test_the_project_its_services_and_its_volume_have_the_names_of_the_guide() -> None:
    assert compose()["name"] == "digital-twin"
    assert set(compose()["services"]) == set(SERVICES)
    assert "postgres_data" in compose()["volumes"]


def test_every_setting_reaches_the_service_that_reads_it() -> None:
    """A new setting: add its name below x-settings in docker-compose.yml, or to the dashboard."""
    program, dashboard = set(service("api")["environment"]), set(service("dashboard")["environment"])
    assert set(service("worker")["environment"]) == set(service("ingest")["environment"]) == program
    assert program | dashboard == SETTINGS


def test_the_dashboard_is_given_no_secret_and_no_address_but_the_api() -> None:
    given = service("dashboard")["environment"]
    assert not [name for name in given if SECRET.search(name)]
    assert [name for name in given if name.endswith("_URL")] == ["API_URL"]


def test_what_compose_reads_is_documented_with_the_same_default() -> None:
    read = variables()
    documented = deployment_section()
    assert set(documented) == set(read) - SETTINGS
    assert not set(documented) & SETTINGS
    for name, default in documented.items():
        assert default == (read[name][1] if read[name][0] == ":-" else ""), name
    program_section = dict(re.findall(r"^# ([A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    for name in ("API_PORT", "DASHBOARD_PORT"):
        assert program_section[name] == read[name][1]


def test_no_secret_stands_in_the_files_and_a_missing_one_says_what_to_do() -> None:
    secrets = {name: value for name, value in variables().items() if SECRET.search(name)}
    assert {"SECRET_KEY", "JWT_SECRET_KEY", "POSTGRES_PASSWORD", "DATABASE_PASSWORD"} <= set(secrets)
    for name, (kind, advice) in secrets.items():
        assert kind == ":?", name
        assert "deploy.sh up" in advice
    for name in SERVICES:
        for key, value in service(name).get("environment", {}).items():
            if SECRET.search(key) and value is not None:  # without one it is passed on as it is set
                assert VARIABLE.fullmatch(value), key
    assert not re.search(r"^(ENV|ARG).*(PASSWORD|SECRET|TOKEN)", DOCKERFILE, re.MULTILINE)


def test_deploy_makes_exactly_the_secrets_that_compose_wants() -> None:
    made = re.search(r"^secrets=\((.*)\)$", DEPLOY.read_text(), re.MULTILINE)
    assert made
    assert set(made[1].split()) == {name for name, (kind, _) in variables().items() if kind == ":?"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_can_be_replaced(name: str) -> None:
    match = VARIABLE.fullmatch(service(name)["image"])
    assert match
    assert match[1].endswith("_IMAGE")
    assert not match[3].endswith(":latest") or name in OURS


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined_and_watched(name: str) -> None:
    one = service(name)
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert not set(one) & {"privileged", "cap_add", "network_mode", "pid", "devices"}
    assert one.get("user") not in ("root", "0", 0)
    assert one["restart"] == "unless-stopped"
    assert "mem_limit" in one
    assert one["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert not [volume for volume in one.get("volumes", []) if "docker.sock" in volume]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_this_machine_alone_unless_it_is_said(name: str) -> None:
    for port in service(name).get("ports", []):
        assert re.fullmatch(r"\$\{BIND_ADDRESS:-127\.0\.0\.1\}:\$\{[A-Z]+_PORT:-\d+\}:\d+", port), port


def test_database_and_redis_are_reached_by_the_program_alone() -> None:
    assert compose()["networks"]["data"]["internal"] is True
    within = {name for name in SERVICES if "data" in service(name)["networks"]}
    assert within == {"api", "worker", "ingest", "db", "redis"}
    for name in ("db", "redis"):
        assert service(name)["networks"] == ["data"]
        assert "ports" not in service(name)


def test_who_needs_the_database_waits_until_it_is_healthy() -> None:
    for name in ("api", "worker", "ingest"):
        assert service(name)["depends_on"]["db"] == {"condition": "service_healthy"}
    for name in ("api", "worker"):
        assert service(name)["depends_on"]["redis"] == {"condition": "service_started"}  # it may be missing
    assert service("dashboard")["depends_on"]["api"] == {"condition": "service_healthy"}


def test_addresses_between_services_name_services_and_the_ports_that_they_have() -> None:
    settings = service("api")["environment"]
    database = re.fullmatch(
        r"postgresql://digital_twin:\$\{DATABASE_PASSWORD:\?.*\}@db:5432/digital_twin", settings["DATABASE_URL"]
    )
    assert database
    assert settings["REDIS_URL"] == "redis://redis:6379/0"
    ports = {"api": settings["API_PORT"], "worker": settings["WORKER_METRICS_PORT"]}
    ports["ingest"] = settings["INGEST_METRICS_PORT"]
    assert service("dashboard")["environment"]["API_URL"] == f"http://api:{ports['api']}"
    scraped = {
        one["job_name"]: one for one in yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    }
    assert scraped["api"]["static_configs"] == [{"targets": [f"api:{ports['api']}"]}]
    for name in ("worker", "ingest"):
        (lookup,) = scraped[name]["dns_sd_configs"]
        assert (lookup["names"], lookup["port"]) == ([name], ports[name])
    for job in ports:
        assert set(service(job)["networks"]) & set(service("prometheus")["networks"])
    for name, port in ports.items():
        assert f"127.0.0.1:{port}/" in service(name)["healthcheck"]["test"][-1]


def test_who_names_hosts_does_not_lock_out_the_services_themselves() -> None:
    assert service("api")["environment"]["ALLOWED_HOSTS"] == "${ALLOWED_HOSTS:-*},api,127.0.0.1"
    assert service("dashboard")["environment"]["ALLOWED_HOSTS"] == "${ALLOWED_HOSTS:-*},127.0.0.1"


def test_the_worker_does_the_work_of_every_queue_and_the_api_starts_no_other() -> None:
    assert service("worker")["command"] == ["worker"]  # without --queues: all of them
    for what in ("worker", "dashboard"):
        assert f"--no-{what}" in service("api")["command"]
        assert service("api")["environment"][f"START_{what.upper()}"] == "false"


def test_the_ingester_is_started_where_there_is_a_broker_and_sees_the_certificates_for_it() -> None:
    assert service("ingest")["command"] == ["worker", "--ingest"]
    assert [name for name in SERVICES if "profiles" in service(name)] == ["ingest", "broker"]
    assert service("ingest")["profiles"] == ["mqtt"]
    assert "COMPOSE_PROFILES=mqtt" in EXAMPLE
    assert "./config/mqtt:/etc/digital-twin/mqtt:ro" in service("ingest")["volumes"]
    assert (ROOT / "config" / "mqtt").is_dir()


def test_the_broker_beside_it_is_one_that_the_twin_may_read_and_meters_may_write_to() -> None:
    folder = ROOT / "deployment" / "mosquitto"
    one, settings, rights = service("broker"), (folder / "mosquitto.conf").read_text(), (folder / "rights").read_text()
    assert one["profiles"] == ["broker"]
    assert "COMPOSE_PROFILES=mqtt,broker" in EXAMPLE
    assert "MQTT_URL=mqtt://broker:1883" in EXAMPLE
    assert set(one["networks"]) < set(service("ingest")["networks"])
    assert {name for name in SERVICES if set(one["networks"]) & set(service(name)["networks"])} == {"ingest", "broker"}
    mounts = dict(volume.split(":")[:2] for volume in one["volumes"])
    assert one["command"] == ["sh", f"{mounts['./deployment/mosquitto']}/start.sh"]
    assert f"persistence_location {mounts['broker_data']}/" in settings
    assert "allow_anonymous false" in settings
    users = dict(re.findall(r"^user (\w+)\n((?:topic .*\n)+)", rights, re.MULTILINE))
    assert "write" not in users["twin"]
    assert users["meters"] == "topic write communities/#\n"


def test_what_is_kept_in_memory_has_a_size_in_every_container_of_ours() -> None:
    for name in (*OURS, "broker"):
        assert all("size=" in mount for mount in service(name)["tmpfs"]), name


def test_the_image_is_built_from_hashes_in_stages_and_does_not_run_as_root() -> None:
    assert "--require-hashes" in DOCKERFILE
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert len(stages) > 1
    assert all(stage.startswith(("${PYTHON_IMAGE}", "dependencies")) for stage in stages)
    users = re.findall(r"^USER (\S+)$", stages[-1], re.MULTILINE)
    assert users == ["10001"]
    assert not re.search(r"^COPY(?! --from=)", stages[-1], re.MULTILINE), "nothing unbuilt goes into the image"
    assert DOCKERFILE.index("COPY requirements.txt") < DOCKERFILE.index("COPY src")
    assert re.search(r"^HEALTHCHECK ", stages[-1], re.MULTILINE)
    default = re.search(r"^ARG PYTHON_IMAGE=(.*)$", DOCKERFILE, re.MULTILINE)
    assert default
    assert default[1] == variables()["PYTHON_IMAGE"][1]


def test_only_what_the_image_is_made_of_is_sent_to_the_build() -> None:
    ignored, *allowed = (ROOT / ".dockerignore").read_text().split()
    assert ignored == "*"
    sent = {line.removeprefix("!") for line in allowed if line.startswith("!")}
    copied = {
        name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()
    }
    assert sent == copied
    assert all((ROOT / name).exists() for name in sent)


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL expression of alerts and dashboards, with where it stands."""
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for path in sorted((GRAFANA / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def known_series() -> dict[str, set[str]]:
    """The series that the program and Prometheus itself make, with their labels."""
    known: dict[str, set[str]] = {"up": set()}
    for collector in list(REGISTRY._collector_to_names):
        labels = set(collector._labelnames)  # type: ignore[attr-defined]
        for name in REGISTRY._collector_to_names[collector]:
            known[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    return known


EXPRESSIONS = list(expressions())
SERIES = re.compile(r"\b(digital_twin_\w+|up)\b(?:\{([^}]*)\})?")
AGGREGATION = re.compile(r"\b(?:by|without|on|ignoring) \(([^)]*)\)")
WORDS = {
    "sum", "min", "max", "by", "or", "unless", "and", "offset", "rate", "increase", "absent", "vector",
    "histogram_quantile", "m", "h", "s",
}  # fmt: skip


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_alerts_and_dashboards_ask_for_series_and_labels_that_exist(where: str, expression: str) -> None:
    known, labels = known_series(), {"job", "instance"}
    asked = SERIES.findall(expression)
    assert asked
    for name, matchers in asked:
        assert name in known, name
        labels |= known[name]
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= {"job", "instance", *known[name]}, matchers
    for grouped in AGGREGATION.findall(expression):
        assert {name.strip() for name in grouped.split(",")} <= labels, grouped
    rest = AGGREGATION.sub(" ", SERIES.sub(" ", expression))
    assert set(re.findall(r"[a-zA-Z_]+", rest)) <= WORDS, "a series that is not the program's"


def test_the_dashboard_is_provisioned_from_where_compose_mounts_it() -> None:
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    mounts = dict(volume.split(":")[:2] for volume in service("grafana")["volumes"])
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "digital-twin.yml").read_text())["providers"][
        0
    ]
    assert mounts["./deployment/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./deployment/grafana/provisioning"] == "/etc/grafana/provisioning"
    dashboard = json.loads((GRAFANA / "dashboards" / "digital-twin.json").read_text())
    assert {target["datasource"]["uid"] for panel in dashboard["panels"] for target in panel["targets"]} == {
        source["uid"]
    }
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_panels_neither_overlap_nor_leave_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((GRAFANA / "dashboards" / "digital-twin.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def promtool(*arguments: str, folder: Path) -> None:
    done = subprocess.run(
        [program("promtool", package="prometheus"), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_its_configuration_and_alerts_when_it_should() -> None:
    promtool("check", "config", "prometheus.yml", folder=PROMETHEUS)
    promtool("test", "rules", "alerts_test.yml", folder=PROMETHEUS)


def test_every_alert_has_a_test() -> None:
    rules = {where for where, _ in EXPRESSIONS[: (PROMETHEUS / "alerts.yml").read_text().count("- alert:")]}
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]}
    assert fired == rules


def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    rules = [{"record": f"panel:number{n}:expr", "expr": text} for n, (_, text) in enumerate(EXPRESSIONS)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", "panels.yml", folder=tmp_path)
