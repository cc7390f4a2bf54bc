"""Requests to AWS, as its command line takes them (--cli-input-json), made from the same files that Terraform reads."""

from __future__ import annotations

from typing import Any

from deploy.ecs.sources import SERVICES, filled, read
from deploy.ecs.values import Size, Values

SCALED = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}
SERVICE_NAMES = {"api": "api", "analysis_worker": "analysis-worker", "gpu_worker": "gpu-worker", "migrate": "migrate"}
IMAGES = {**SERVICE_NAMES, "migrate": "api"}


def task_definition(task: str, values: Values) -> dict[str, Any]:
    """A RegisterTaskDefinition request."""
    service = SERVICE_NAMES[task]
    role = f"arn:{values.partition}:iam::{values.account_id}:role/{values.name}-{service}"
    given = {**values.for_templates(), "task_role_arn": f"{role}-task", "execution_role_arn": f"{role}-execution"}
    request: dict[str, Any] = filled(f"task_definitions/{task}.json", given)
    for container in request["containerDefinitions"]:
        container["environment"] = _on_top(container["environment"], values.environment, "value")
        if task in SERVICES:
            container["secrets"] = _on_top(container["secrets"], values.secrets, "valueFrom")
    return _resized(request, getattr(values.sizes, task))


def _on_top(entries: list[dict[str, str]], further: dict[str, str], field: str) -> list[dict[str, str]]:
    """What is named again is the later one's."""
    kept = [entry for entry in entries if entry["name"] not in further]
    return kept + [{"name": name, field: further[name]} for name in sorted(further)]


def _resized(request: dict[str, Any], size: Size) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    if size.cpu is not None:
        wanted["cpu"] = str(size.cpu)
    if size.memory_mib is not None:
        wanted["memory"] = str(size.memory_mib)
    if size.scratch_gib is not None and "ephemeralStorage" in request:
        wanted["ephemeralStorage"] = {"sizeInGiB": size.scratch_gib}
    return {**request, **wanted}


def policies(values: Values) -> dict[str, Any]:
    """Policy documents, by `role.policy`; the trust policies and the bucket's have no role before the dot."""
    given = values.for_templates()
    found = {name: filled(f"policies/{name}.json", given) for name in ("trust_tasks", "trust_instances", "bucket")}
    for task, service in SERVICE_NAMES.items():
        found[f"{service}-execution.start"] = filled(
            "policies/execution.json", {**given, "service": service, "image": IMAGES[task]}
        )
        for name, arn in _secrets(task, values).items():
            found[f"{service}-execution.read-{name}"] = filled("policies/read_secret.json", {"secret_arn": arn})
    for task in SERVICES:
        found[f"{SERVICE_NAMES[task]}-task.work"] = filled(f"policies/{task}_task.json", given)
        for bucket in values.input_buckets:
            document = filled("policies/read_inputs.json", {**given, "input_bucket": bucket})
            found[f"{SERVICE_NAMES[task]}-task.read-{bucket}"] = document
    for bucket in values.output_buckets:
        document = filled("policies/write_outputs.json", {**given, "output_bucket": bucket})
        found[f"analysis-worker-task.write-{bucket}"] = document
    return found


def _secrets(task: str, values: Values) -> dict[str, str]:
    """What the task's execution role reads. An ARN may go on with a key of the secret; who may read it ends before."""
    own = {"database-url": values.database_url_secret_arn}
    if task == "migrate":
        return {**own, "owner": values.database_owner_secret_arn}
    further = {name.lower().replace("_", "-"): ":".join(arn.split(":")[:7]) for name, arn in values.secrets.items()}
    return {**own, **further}


def alarms(values: Values) -> dict[str, dict[str, Any]]:
    """PutMetricAlarm requests, by the alarm's name."""
    return {alarm["name"]: _alarm(alarm, values) for alarm in read("alarms.json")["alarms"]}


def _alarm(alarm: dict[str, Any], values: Values) -> dict[str, Any]:
    request = {
        "AlarmName": f"{values.name}-{alarm['name']}",
        "AlarmDescription": f"{alarm['says']} {values.runbook_url}#{alarm['runbook']}",
        **_condition(alarm),
        "AlarmActions": [values.alarm_topic_arn],
        "OKActions": [values.alarm_topic_arn],
    }
    if alarm["expression"] is None:
        (metric,) = alarm["metrics"]
        return {
            **request,
            **_metric(metric, values),
            "Statistic": metric["statistic"],
            "Period": alarm["period_seconds"],
        }
    return {**request, "Metrics": _expression(alarm, values)}


def _expression(alarm: dict[str, Any], values: Values) -> list[dict[str, Any]]:
    figure = {"Id": "alarm", "Label": alarm["name"], "Expression": alarm["expression"], "ReturnData": True}
    period = alarm["period_seconds"]
    return [figure] + [
        {
            "Id": metric["id"],
            "ReturnData": False,
            "MetricStat": {"Metric": _metric(metric, values), "Period": period, "Stat": metric["statistic"]},
        }
        for metric in alarm["metrics"]
    ]


def _metric(metric: dict[str, Any], values: Values) -> dict[str, Any]:
    return {
        "Namespace": values.metrics_namespace,
        "MetricName": metric["metric_name"],
        "Dimensions": [{"Name": read("scaling.json")["metrics"]["dimension_name"], "Value": values.name}],
    }


def _condition(alarm: dict[str, Any]) -> dict[str, Any]:
    return {
        "ComparisonOperator": alarm["comparison_operator"],
        "Threshold": alarm["threshold"],
        "EvaluationPeriods": alarm["evaluation_periods"],
        "DatapointsToAlarm": alarm["datapoints_to_alarm"],
        "TreatMissingData": alarm["treat_missing_data"],
    }


def scaling(values: Values) -> dict[str, dict[str, Any]]:
    """RegisterScalableTarget (`target`), PutScalingPolicy (`policy-…`), PutMetricAlarm (`alarm-…`) requests.

    An alarm lacks its action: the ARN that PutScalingPolicy answers with.
    """
    rules = read("scaling.json")
    service = {**SCALED, "ResourceId": f"service/{values.name}/{values.name}-gpu-worker"}
    capacity = {"MinCapacity": rules["min_capacity"], "MaxCapacity": rules["max_capacity"]}
    found: dict[str, dict[str, Any]] = {"target": {**service, **capacity}}
    for rule in rules["target_tracking"]:
        found[f"policy-{rule['name']}"] = {**service, **_target_tracking(rule, values)}
    for rule in rules["step_scaling"]:
        found[f"policy-{rule['name']}"] = {**service, **_step(rule, values)}
        found[f"alarm-{rule['name']}"] = _step_alarm(rule, values)
    return found


def _target_tracking(rule: dict[str, Any], values: Values) -> dict[str, Any]:
    return {
        "PolicyName": f"{values.name}-{rule['name']}",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": rule["target_value"],
            "CustomizedMetricSpecification": {**_metric(rule, values), "Statistic": rule["statistic"]},
            "ScaleOutCooldown": rule["scale_out_cooldown_seconds"],
            "ScaleInCooldown": rule["scale_in_cooldown_seconds"],
            "DisableScaleIn": rule["disable_scale_in"],
        },
    }


def _step(rule: dict[str, Any], values: Values) -> dict[str, Any]:
    return {
        "PolicyName": f"{values.name}-{rule['name']}",
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": rule["adjustment_type"],
            "MetricAggregationType": rule["metric_aggregation_type"],
            "Cooldown": rule["cooldown_seconds"],
            "StepAdjustments": [_adjustment(step) for step in rule["steps"]],
        },
    }


def _adjustment(step: dict[str, Any]) -> dict[str, Any]:
    bounds = {
        "MetricIntervalLowerBound": step["metric_interval_lower_bound"],
        "MetricIntervalUpperBound": step["metric_interval_upper_bound"],
    }
    known = {name: bound for name, bound in bounds.items() if bound is not None}
    return {**known, "ScalingAdjustment": step["scaling_adjustment"]}


def _step_alarm(rule: dict[str, Any], values: Values) -> dict[str, Any]:
    alarm = rule["alarm"]
    return {
        "AlarmName": f"{values.name}-{alarm['name']}",
        "AlarmDescription": f"Scales the GPU workers ({rule['name']}); nobody has to act. scaling.json says why.",
        **_metric(alarm, values),
        **_condition(alarm),
        "Statistic": alarm["statistic"],
        "Period": alarm["period_seconds"],
    }
