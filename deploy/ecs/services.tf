# Task definitions, from task_definitions/, and what keeps them running.

locals {
  # The templates are JSON before they are filled in, so what has no placeholder is known before anything is there.
  shape = { for task, facts in local.tasks : task => jsondecode(file("${path.module}/task_definitions/${task}.json")) }

  database_owner_secret_arn = aws_db_instance.this.master_user_secret[0].secret_arn

  filled = {
    for task, facts in local.tasks : task => jsondecode(templatefile("${path.module}/task_definitions/${task}.json", merge(local.values, {
      task_role_arn             = aws_iam_role.task[task].arn
      execution_role_arn        = aws_iam_role.execution[task].arn
      database_url_secret_arn   = aws_secretsmanager_secret.database_url.arn
      database_owner_secret_arn = local.database_owner_secret_arn
      database_owner            = local.database_owner
      database_host             = aws_db_instance.this.address
      database_port             = aws_db_instance.this.port
      database_name             = local.database_name
    })))
  }

  extra_secrets = { for task in keys(local.tasks) : task => task == "migrate" ? {} : var.secrets }

  # var.environment and var.secrets come on top; what they name again is theirs.
  containers = {
    for task, definition in local.filled : task => [
      for container in definition.containerDefinitions : merge(container, {
        environment = concat(
          [for variable in container.environment : variable if !contains(keys(var.environment), variable.name)],
          [for name, value in var.environment : { name = name, value = value }],
        )
        secrets = concat(
          [for secret in container.secrets : secret if !contains(keys(local.extra_secrets[task]), secret.name)],
          [for name, arn in local.extra_secrets[task] : { name = name, valueFrom = arn }],
        )
      })
    ]
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.tasks

  name              = "/${var.name}/${each.value.service}"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_task_definition" "this" {
  for_each = local.tasks

  family                   = "${var.name}-${each.value.service}"
  requires_compatibilities = local.shape[each.key].requiresCompatibilities
  network_mode             = local.shape[each.key].networkMode
  cpu                      = try(tostring(coalesce(var.sizes[each.key].cpu)), local.shape[each.key].cpu)
  memory                   = try(tostring(coalesce(var.sizes[each.key].memory_mib)), local.shape[each.key].memory)
  task_role_arn            = aws_iam_role.task[each.key].arn
  execution_role_arn       = aws_iam_role.execution[each.key].arn
  container_definitions    = jsonencode(local.containers[each.key])

  # Earlier revisions stay, to go back to.
  skip_destroy = !var.disposable

  runtime_platform {
    operating_system_family = local.shape[each.key].runtimePlatform.operatingSystemFamily
    cpu_architecture        = local.shape[each.key].runtimePlatform.cpuArchitecture
  }

  dynamic "ephemeral_storage" {
    for_each = contains(keys(local.shape[each.key]), "ephemeralStorage") ? [local.shape[each.key].ephemeralStorage.sizeInGiB] : []

    content {
      size_in_gib = try(coalesce(var.sizes[each.key].scratch_gib), ephemeral_storage.value)
    }
  }

  dynamic "volume" {
    for_each = local.shape[each.key].volumes

    content {
      name = volume.value.name

      dynamic "docker_volume_configuration" {
        for_each = contains(keys(volume.value), "dockerVolumeConfiguration") ? [volume.value.dockerVolumeConfiguration] : []

        content {
          scope  = docker_volume_configuration.value.scope
          driver = docker_volume_configuration.value.driver
        }
      }
    }
  }
}

resource "aws_ecs_service" "api" {
  name                   = "${var.name}-api"
  cluster                = aws_ecs_cluster.this.id
  task_definition        = aws_ecs_task_definition.this["api"].arn
  launch_type            = "FARGATE"
  desired_count          = var.running ? var.api_count : 0
  wait_for_steady_state  = var.wait_for_steady_state
  propagate_tags         = "SERVICE"
  enable_execute_command = false

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 120

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = local.private_subnet_ids
    security_groups  = [aws_security_group.api.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.api.arn
    container_name   = "api"
    container_port   = 8080
  }

  # The API last: whatever a new one asks for, there are workers that know it. And the roles' policies before any task.
  depends_on = [
    aws_ecs_service.analysis_worker,
    aws_ecs_service.gpu_worker,
    aws_iam_role_policy.execution,
    aws_iam_role_policy.secret,
    aws_iam_role_policy.task,
    aws_lb_listener.https,
  ]
}

resource "aws_ecs_service" "analysis_worker" {
  name                   = "${var.name}-analysis-worker"
  cluster                = aws_ecs_cluster.this.id
  task_definition        = aws_ecs_task_definition.this["analysis_worker"].arn
  launch_type            = "FARGATE"
  desired_count          = var.running ? var.analysis_worker_count : 0
  wait_for_steady_state  = var.wait_for_steady_state
  propagate_tags         = "SERVICE"
  enable_execute_command = false

  deployment_minimum_healthy_percent = 50
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = local.private_subnet_ids
    security_groups  = [aws_security_group.worker.id]
    assign_public_ip = false
  }

  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.secret, aws_iam_role_policy.task]
}

# scaling.tf says how many. Busy tasks protect themselves, so a deployment waits for the chunks in hand.
resource "aws_ecs_service" "gpu_worker" {
  name                   = "${var.name}-gpu-worker"
  cluster                = aws_ecs_cluster.this.id
  task_definition        = aws_ecs_task_definition.this["gpu_worker"].arn
  desired_count          = local.scaling.min_capacity
  wait_for_steady_state  = var.wait_for_steady_state
  propagate_tags         = "SERVICE"
  enable_execute_command = false

  deployment_minimum_healthy_percent = 50
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  capacity_provider_strategy {
    capacity_provider = aws_ecs_capacity_provider.gpu.name
    base              = 0
    weight            = 1
  }

  network_configuration {
    subnets         = local.private_subnet_ids
    security_groups = [aws_security_group.worker.id]
  }

  lifecycle {
    ignore_changes = [desired_count]
  }

  depends_on = [
    aws_ecs_service.analysis_worker,
    aws_ecs_cluster_capacity_providers.this,
    aws_iam_role_policy.execution,
    aws_iam_role_policy.secret,
    aws_iam_role_policy.task,
  ]
}
