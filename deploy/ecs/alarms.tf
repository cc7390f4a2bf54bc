# What people hear of: every alarm is in alarms.json, and names its entry in docs/operations.md.

locals {
  alarms = { for alarm in jsondecode(file("${path.module}/alarms.json")).alarms : alarm.name => alarm }
}

resource "aws_sns_topic" "alarms" {
  name = "${var.name}-alarms"
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.says} ${var.runbook_url}#${each.value.runbook}"
  comparison_operator = each.value.comparison_operator
  threshold           = each.value.threshold
  evaluation_periods  = each.value.evaluation_periods
  datapoints_to_alarm = each.value.datapoints_to_alarm
  treat_missing_data  = each.value.treat_missing_data
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  # One metric is named here; several, with an expression over them, below.
  namespace   = each.value.expression == null ? var.metrics_namespace : null
  metric_name = each.value.expression == null ? each.value.metrics[0].metric_name : null
  statistic   = each.value.expression == null ? each.value.metrics[0].statistic : null
  period      = each.value.expression == null ? each.value.period_seconds : null
  dimensions  = each.value.expression == null ? { Service = var.name } : null

  dynamic "metric_query" {
    for_each = each.value.expression == null ? [] : [each.value.expression]

    content {
      id          = "alarm"
      label       = each.key
      expression  = metric_query.value
      return_data = true
    }
  }

  dynamic "metric_query" {
    for_each = each.value.expression == null ? [] : each.value.metrics

    content {
      id          = metric_query.value.id
      return_data = false

      metric {
        namespace   = var.metrics_namespace
        metric_name = metric_query.value.metric_name
        stat        = metric_query.value.statistic
        period      = each.value.period_seconds
        dimensions  = { Service = var.name }
      }
    }
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = templatefile("${path.module}/dashboard.json", merge(local.values, {
    load_balancer = aws_lb.this.arn_suffix
    database      = aws_db_instance.this.identifier
  }))
}
