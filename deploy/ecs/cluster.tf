# The cluster, and the GPU instances below it: as many as ECS asks for tasks, from none.

resource "aws_ecs_cluster" "this" {
  name = var.name
}

data "aws_ssm_parameter" "gpu_ami" {
  name = var.gpu_ami_parameter
}

resource "aws_launch_template" "gpu" {
  name_prefix            = "${var.name}-gpu-"
  image_id               = data.aws_ssm_parameter.gpu_ami.insecure_value # an AMI's id is public
  update_default_version = true
  vpc_security_group_ids = [aws_security_group.instance.id]
  user_data              = base64encode(templatefile("${path.module}/gpu_instance.sh", { cluster = aws_ecs_cluster.this.name }))

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }

  # Version 2 of the metadata alone. Two hops: the worker in its container asks for spot notices (SPOT_NOTICE=ec2).
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.gpu_disk_gib
      throughput            = 250
      encrypted             = true
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = false
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.name}-gpu" }
  }

  tag_specifications {
    resource_type = "volume"
    tags          = { Name = "${var.name}-gpu" }
  }
}

resource "aws_autoscaling_group" "gpu" {
  name                = "${var.name}-gpu"
  vpc_zone_identifier = local.private_subnet_ids
  min_size            = 0
  # Two more than tasks: a deployment starts new tasks beside the old ones.
  max_size = local.scaling.max_capacity + 2

  # ECS takes an instance's protection away when no task is on it: managed termination protection needs this.
  protect_from_scale_in = true
  force_delete          = true

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = var.gpu_on_demand_base
      on_demand_percentage_above_base_capacity = var.gpu_on_demand_percentage
      on_demand_allocation_strategy            = "prioritized"
      spot_allocation_strategy                 = "price-capacity-optimized"
    }

    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.gpu.id
        version            = aws_launch_template.gpu.latest_version
      }

      dynamic "override" {
        for_each = var.gpu_instance_types

        content {
          instance_type = override.value
        }
      }
    }
  }

  # ECS looks for this tag, and sets it where it is missing.
  tag {
    key                 = "AmazonECSManaged"
    value               = "true"
    propagate_at_launch = true
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }
}

resource "aws_ecs_capacity_provider" "gpu" {
  name = "${var.name}-gpu"

  auto_scaling_group_provider {
    auto_scaling_group_arn         = aws_autoscaling_group.gpu.arn
    managed_termination_protection = "ENABLED"
    managed_draining               = "ENABLED"

    managed_scaling {
      status                    = "ENABLED"
      target_capacity           = 100
      minimum_scaling_step_size = 1
      maximum_scaling_step_size = local.scaling.max_capacity
      instance_warmup_period    = 300
    }
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", aws_ecs_capacity_provider.gpu.name]
}
