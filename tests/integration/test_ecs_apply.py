"""The whole module, made and taken away again by Terraform and the real AWS provider, against a moto server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from deploy.ecs.aws_requests import alarms, policies, task_definition
from deploy.ecs.sources import TASKS
from deploy.ecs.values import Values
from tests.docker.stack import free_port
from tests.integration.conftest import wait_until
from tests.terraform import module_copy, terraform

pytestmark = pytest.mark.slow
REGION = "eu-west-1"
MINUTES_OF_WAITING_SEC = 900


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """In a process of its own: it must not share this one's patched clients. By IP, so that buckets are in the path."""
    port = free_port()
    command = [sys.executable, "-m", "tests.moto_for_terraform", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "moto.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(address), 60, "moto")
        yield address
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/moto-api/data.json", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with moto_server(tmp_path) as address:
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_MAX_ATTEMPTS": "2",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def variables(module: Path) -> None:
    certificate = client("acm").request_certificate(DomainName="api.example.com")["CertificateArn"]
    (module / "test.auto.tfvars").write_text(
        f"""
        region                = "{REGION}"
        release               = "0.1.0"
        certificate_arn       = "{certificate}"
        client_cidrs          = ["203.0.113.0/24"]
        alarm_emails          = ["oncall@example.com"]
        input_buckets         = ["our-videos"]
        output_buckets        = ["our-films"]
        disposable            = true
        wait_for_steady_state = false
        """
    )


def test_the_module_is_made_and_taken_away(cloud: None, tmp_path: Path) -> None:
    """It shows that the provider takes every argument, that the order holds, and that nothing keeps `destroy`.

    It does not show that AWS would: moto checks no permission, no quota and few values; starts no task and no instance;
    keeps of an alarm no metric math, of a service no capacity provider strategy, of a parameter group no parameter, so
    that a second plan is not empty here; never answers which tags a scalable target has (tests/moto_for_terraform.py
    does); and its certificate is nobody's.
    """
    module = module_copy(tmp_path)
    variables(module)
    made = terraform(module, "apply", "-auto-approve", "-input=false", "-no-color", timeout_sec=MINUTES_OF_WAITING_SEC)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr
    look_at_what_there_is()
    look_whether_it_is_what_is_rendered()
    gone = terraform(
        module, "destroy", "-auto-approve", "-input=false", "-no-color", timeout_sec=MINUTES_OF_WAITING_SEC
    )
    assert gone.returncode == 0, gone.stdout[-3000:] + gone.stderr
    assert terraform(module, "state", "list").stdout == ""
    assert client("s3").list_buckets()["Buckets"] == []
    assert client("rds").describe_db_instances()["DBInstances"] == []
    assert client("cloudwatch").describe_alarms()["MetricAlarms"] == []


def look_at_what_there_is() -> None:
    (bucket,) = client("s3").list_buckets()["Buckets"]
    rules = client("s3").get_bucket_lifecycle_configuration(Bucket=bucket["Name"])["Rules"]
    (ended,) = [rule for rule in rules if "Expiration" in rule]
    assert (ended["Filter"]["Prefix"], ended["Expiration"]["Days"]) == ("jobs/", 21)
    assert all(client("s3").get_public_access_block(Bucket=bucket["Name"])["PublicAccessBlockConfiguration"].values())

    scaling = client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 10)
    policies = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    assert {policy["PolicyName"] for policy in policies} == {
        f"framefleet-{name}" for name in ("backlog-per-worker", "busy-share", "from-zero", "to-zero")
    }

    services = [f"framefleet-{name}" for name in ("api", "analysis-worker", "gpu-worker")]
    found = client("ecs").describe_services(cluster="framefleet", services=services)["services"]
    assert {service["serviceName"]: service["desiredCount"] for service in found} == dict(
        zip(services, (2, 2, 0), strict=True)
    )
    definition = client("ecs").describe_task_definition(taskDefinition="framefleet-gpu-worker")["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    assert container["resourceRequirements"] == [{"type": "GPU", "value": "1"}]
    assert [secret["name"] for secret in container["secrets"]] == ["DATABASE_URL"]

    (database,) = client("rds").describe_db_instances()["DBInstances"]
    assert database["StorageEncrypted"] and not database["PubliclyAccessible"]
    alarms = client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {"framefleet-many-queued", "framefleet-old-transaction", "framefleet-fleet-idle"} <= {
        it["AlarmName"] for it in alarms
    }


def look_whether_it_is_what_is_rendered() -> None:
    """What people without Terraform are given is what Terraform sent."""
    values = values_of_what_there_is()
    for task in TASKS:
        rendered = task_definition(task, values)
        made = client("ecs").describe_task_definition(taskDefinition=rendered["family"])["taskDefinition"]
        for mine, theirs in zip(rendered["containerDefinitions"], made["containerDefinitions"], strict=True):
            assert {key: sorted_by_name(theirs[key]) for key in mine} == {
                key: sorted_by_name(mine[key]) for key in mine
            }
        for key in rendered.keys() - {"containerDefinitions", "volumes", "ephemeralStorage", "runtimePlatform"}:
            assert made[key] == rendered[key], (task, key)
    iam = client("iam")
    for name, document in policies(values).items():
        role, _, policy = name.partition(".")
        if policy:
            found = iam.get_role_policy(RoleName=f"framefleet-{role}", PolicyName=policy)
            assert found["PolicyDocument"] == document, name
    made_alarms = {alarm["AlarmName"]: alarm for alarm in client("cloudwatch").describe_alarms()["MetricAlarms"]}
    for request in alarms(values).values():
        alarm = made_alarms.pop(request["AlarmName"])
        assert {key: alarm[key] for key in request if key != "Metrics"} == {
            k: v for k, v in request.items() if k != "Metrics"
        }
    others = {name for name in made_alarms if not name.startswith("TargetTracking-")}  # those AWS makes itself
    assert others == {"framefleet-chunk-queued-at-zero", "framefleet-fleet-idle"}


def sorted_by_name(value: Any) -> Any:
    """Settings and secrets have no order."""
    is_named = isinstance(value, list) and all(isinstance(entry, dict) and "name" in entry for entry in value)
    return sorted(value, key=lambda entry: entry["name"]) if is_named else value


def values_of_what_there_is() -> Values:
    (secret,) = client("secretsmanager").list_secrets(Filters=[{"Key": "name", "Values": ["framefleet/"]}])[
        "SecretList"
    ]
    (database,) = client("rds").describe_db_instances()["DBInstances"]
    (balancer,) = client("elbv2").describe_load_balancers()["LoadBalancers"]
    (topic,) = client("sns").list_topics()["Topics"]
    (bucket,) = client("s3").list_buckets()["Buckets"]
    return Values(
        region=REGION,
        account_id="123456789012",
        bucket=bucket["Name"],
        release="0.1.0",
        database_url_secret_arn=secret["ARN"],
        database_owner_secret_arn=database["MasterUserSecret"]["SecretArn"],
        database_host=database["Endpoint"]["Address"],
        load_balancer=balancer["LoadBalancerArn"].partition("loadbalancer/")[2],
        alarm_topic_arn=topic["TopicArn"],
        input_buckets=["our-videos"],
        output_buckets=["our-films"],
    )
