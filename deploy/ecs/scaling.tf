# How many GPU workers: all rules are in scaling.json, which the simulation and the tests read too.

locals {
  scaling = jsondecode(file("${path.module}/scaling.json"))
}

resource "aws_appautoscaling_target" "gpu_worker" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.gpu_worker.name}"
  min_capacity       = local.scaling.min_capacity
  max_capacity       = local.scaling.max_capacity
}

resource "aws_appautoscaling_policy" "target_tracking" {
  for_each = { for rule in local.scaling.target_tracking : rule.name => rule }

  name               = "${var.name}-${each.key}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.gpu_worker.service_namespace
  scalable_dimension = aws_appautoscaling_target.gpu_worker.scalable_dimension
  resource_id        = aws_appautoscaling_target.gpu_worker.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.target_value
    scale_out_cooldown = each.value.scale_out_cooldown_seconds
    scale_in_cooldown  = each.value.scale_in_cooldown_seconds
    disable_scale_in   = each.value.disable_scale_in

    customized_metric_specification {
      namespace   = var.metrics_namespace
      metric_name = each.value.metric_name
      statistic   = each.value.statistic

      dimensions {
        name  = local.scaling.metrics.dimension_name
        value = var.name
      }
    }
  }
}

resource "aws_appautoscaling_policy" "step" {
  for_each = { for rule in local.scaling.step_scaling : rule.name => rule }

  name               = "${var.name}-${each.key}"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.gpu_worker.service_namespace
  scalable_dimension = aws_appautoscaling_target.gpu_worker.scalable_dimension
  resource_id        = aws_appautoscaling_target.gpu_worker.resource_id

  step_scaling_policy_configuration {
    adjustment_type         = each.value.adjustment_type
    metric_aggregation_type = each.value.metric_aggregation_type
    cooldown                = each.value.cooldown_seconds

    dynamic "step_adjustment" {
      for_each = each.value.steps

      content {
        metric_interval_lower_bound = step_adjustment.value.metric_interval_lower_bound
        metric_interval_upper_bound = step_adjustment.value.metric_interval_upper_bound
        scaling_adjustment          = step_adjustment.value.scaling_adjustment
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "scaling" {
  for_each = { for rule in local.scaling.step_scaling : rule.name => rule.alarm }

  alarm_name          = "${var.name}-${each.value.name}"
  alarm_description   = "Scales the GPU workers (${each.key}); nobody has to act. scaling.json says why."
  namespace           = var.metrics_namespace
  metric_name         = each.value.metric_name
  statistic           = each.value.statistic
  period              = each.value.period_seconds
  evaluation_periods  = each.value.evaluation_periods
  datapoints_to_alarm = each.value.datapoints_to_alarm
  threshold           = each.value.threshold
  comparison_operator = each.value.comparison_operator
  treat_missing_data  = each.value.treat_missing_data
  dimensions          = { (local.scaling.metrics.dimension_name) = var.name }
  alarm_actions       = [aws_appautoscaling_policy.step[each.key].arn]
}
