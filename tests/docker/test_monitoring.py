"""Prometheus and Grafana find what they are told of: services, ports, mounted files, the dashboard's own source."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.docker.compose import DOCKERFILE, FOLDER, PROJECT, is_ours, read, target_of
from tests.docker.dockerfile import inherited, stages_of

SERVICES = read("compose.yaml")["services"]
PROMETHEUS = yaml.safe_load((FOLDER / "prometheus.yml").read_text())


def mounted(service: str) -> set[str]:
    """Where the service sees files of ours."""
    return {mount.split(":")[1] for mount in SERVICES[service]["volumes"] if mount.startswith(".")}


def port_of(service: str) -> int:
    return int(inherited(stages_of(DOCKERFILE), target_of(SERVICES[service]), "EXPOSE") or 0)


def targets() -> list[tuple[str, int]]:
    found = []
    for job in PROMETHEUS["scrape_configs"]:
        found += [target.split(":") for each in job.get("static_configs", []) for target in each["targets"]]
        found += [(name, each["port"]) for each in job.get("dns_sd_configs", []) for name in each["names"]]
    return [(name, int(port)) for name, port in found]


def test_every_process_of_ours_that_stays_is_scraped_on_its_port() -> None:
    ours = {name for name, service in SERVICES.items() if is_ours(service) and service["restart"] != "no"}
    assert {name for name, _ in targets()} == ours
    assert all(port == port_of(name) for name, port in targets())


def test_prometheus_sends_the_token_that_the_api_takes() -> None:
    """Its file is written where the service may write, from the variable that the API has too."""
    (api,) = [job for job in PROMETHEUS["scrape_configs"] if job["job_name"] == "api"]
    file = api["authorization"]["credentials_file"]
    assert f'"$$METRICS_TOKEN" >{file}' in SERVICES["prometheus"]["entrypoint"][2]
    assert any(file.startswith(f"{place}/") for place in SERVICES["prometheus"]["tmpfs"])
    assert SERVICES["prometheus"]["environment"]["METRICS_TOKEN"] == SERVICES["api"]["environment"]["METRICS_TOKEN"]


def test_prometheus_reads_the_alarms_that_are_mounted() -> None:
    assert {"/etc/prometheus/prometheus.yml", *PROMETHEUS["rule_files"]} == mounted("prometheus")
    (config,) = [word for word in SERVICES["prometheus"]["command"] if word.startswith("--config.file=")]
    assert config.partition("=")[2] in mounted("prometheus")


def test_grafana_finds_its_source_and_the_dashboard() -> None:
    (source,) = yaml.safe_load((FOLDER / "grafana" / "datasource.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((FOLDER / "grafana" / "dashboards.yml").read_text())["providers"]
    assert provider["options"]["path"] in mounted("grafana")
    assert source["url"] == "http://prometheus:9090"
    dashboard: dict[str, Any] = json.loads((PROJECT / "deploy" / "grafana" / "framefleet.json").read_text())
    shown = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    used = {panel["datasource"]["uid"] for panel in shown}
    used |= {target["datasource"]["uid"] for panel in shown for target in panel["targets"]}
    assert used == {source["uid"]}
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_no_two_panels_lie_over_one_another() -> None:
    dashboard = json.loads((PROJECT / "deploy" / "grafana" / "framefleet.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken
        taken |= cells
