# What the module makes, with a provider that makes everything up: `terraform init -backend=false && terraform test`.
# No account is asked. What AWS itself would say to it, no such test can tell.

mock_provider "aws" {
  override_data {
    target = data.aws_caller_identity.this
    values = { account_id = "123456789012" }
  }
  override_data {
    target = data.aws_partition.this
    values = { partition = "aws" }
  }
  override_data {
    target = data.aws_ssm_parameter.gpu_ami
    values = { insecure_value = "ami-0123456789abcdef0" }
  }

  # Where the provider looks at the form of what another resource answers with.
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/made-up" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/made-up" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:framefleet/database-url-AbCdEf" }
  }
  mock_resource "aws_db_instance" {
    defaults = {
      address            = "framefleet.abc.eu-west-1.rds.amazonaws.com"
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-0-AbCdEf", kms_key_id = "k", secret_status = "active" }]
    }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
  mock_resource "aws_autoscaling_group" {
    defaults = { arn = "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:0:autoScalingGroupName/framefleet-gpu" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/framefleet", id = "arn:aws:ecs:eu-west-1:123456789012:cluster/framefleet" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/made-up:1" }
  }
  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/framefleet/0123456789abcdef", arn_suffix = "app/framefleet/0123456789abcdef" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/framefleet-api/0123456789abcdef" }
  }
  mock_resource "aws_lb_listener" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/framefleet/0123456789abcdef/0123456789abcdef" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-1:123456789012:framefleet-alarms" }
  }
  mock_resource "aws_appautoscaling_policy" {
    defaults = { arn = "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:0:resource/ecs/service/framefleet/framefleet-gpu-worker:policyName/made-up" }
  }
}

variables {
  region          = "eu-west-1"
  release         = "0.1.0"
  certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
  client_cidrs    = ["203.0.113.0/24"]
  alarm_emails    = ["oncall@example.com"]
  runbook_url     = "https://example.com/docs/operations.md"
  input_buckets   = ["our-videos"]
  page_origins    = ["https://framefleet.example"]
  output_buckets  = ["our-films"]
  environment     = { CONF = "0.3", SAMPLE_FPS = "5" }
  secrets         = { PROCESS_TOKEN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:process-token-AbCdEf:token::" }
  sizes           = { analysis_worker = { cpu = 8192 } }
}

run "the_fleet" {
  command = apply

  # ---- Task definitions ----

  assert {
    condition     = alltrue([for task, definition in aws_ecs_task_definition.this : alltrue([for container in jsondecode(definition.container_definitions) : container.readonlyRootFilesystem && container.user == "10001" && container.stopTimeout == 120])])
    error_message = "Every container has a read-only root, runs as 10001, and may take 120 s to stop."
  }
  assert {
    condition     = alltrue([for task, definition in aws_ecs_task_definition.this : alltrue([for container in jsondecode(definition.container_definitions) : anytrue([for mount in container.mountPoints : mount.containerPath == "/tmp" && mount.sourceVolume == "scratch" && !mount.readOnly])])])
    error_message = "Every container has a scratch volume at /tmp."
  }
  assert {
    condition     = alltrue([for task in ["analysis_worker", "gpu_worker"] : alltrue([for container in jsondecode(aws_ecs_task_definition.this[task].container_definitions) : container.stopTimeout > tonumber(one([for variable in container.environment : variable.value if variable.name == "DRAIN_SECONDS"]))])])
    error_message = "A worker's drain ends before ECS kills it."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this["gpu_worker"].container_definitions)[0].resourceRequirements == [{ type = "GPU", value = "1" }] && aws_ecs_task_definition.this["gpu_worker"].requires_compatibilities == toset(["EC2"])
    error_message = "A GPU worker asks for one GPU, on EC2."
  }
  assert {
    condition     = alltrue([for task in ["api", "analysis_worker", "migrate"] : aws_ecs_task_definition.this[task].requires_compatibilities == toset(["FARGATE"]) && alltrue([for container in jsondecode(aws_ecs_task_definition.this[task].container_definitions) : !contains(keys(container), "resourceRequirements")])])
    error_message = "All else runs on Fargate, without a GPU."
  }
  assert {
    condition     = aws_ecs_task_definition.this["analysis_worker"].cpu == "8192" && aws_ecs_task_definition.this["analysis_worker"].memory == "16384" && one(aws_ecs_task_definition.this["analysis_worker"].ephemeral_storage).size_in_gib == 100
    error_message = "sizes overrides what it names, and nothing else."
  }
  assert {
    condition     = one([for variable in jsondecode(aws_ecs_task_definition.this["gpu_worker"].container_definitions)[0].environment : variable.value if variable.name == "SAMPLE_FPS"]) == "5" && one([for variable in jsondecode(aws_ecs_task_definition.this["api"].container_definitions)[0].environment : variable.value if variable.name == "CONF"]) == "0.3"
    error_message = "environment adds settings, and replaces those of the templates."
  }
  assert {
    condition     = alltrue([for name in ["S3_COACH_VIDEOS_BUCKET", "AWS_REGION", "CHUNK_SECONDS", "SAMPLE_FPS", "MAX_WIDTH", "COACH_PLUS_ANALYSIS_POLL_SECONDS"] : contains([for variable in jsondecode(aws_ecs_task_definition.this["gpu_worker"].container_definitions)[0].environment : variable.name], name)])
    error_message = "The coach's names of settings are in the task definitions."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this["api"].container_definitions)[0].image == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/framefleet/api:0.1.0"
    error_message = "The image is this account's, of this release."
  }
  assert {
    condition     = alltrue([for task, definition in aws_ecs_task_definition.this : alltrue([for container in jsondecode(definition.container_definitions) : container.logConfiguration.options["awslogs-group"] == aws_cloudwatch_log_group.this[task].name])])
    error_message = "Every container logs into its task's group."
  }

  # ---- Secrets ----

  assert {
    condition     = alltrue([for task in ["api", "analysis_worker", "gpu_worker"] : one([for secret in jsondecode(aws_ecs_task_definition.this[task].container_definitions)[0].secrets : secret.valueFrom if secret.name == "DATABASE_URL"]) == aws_secretsmanager_secret.database_url.arn])
    error_message = "Services get DATABASE_URL by reference."
  }
  assert {
    condition     = one([for secret in jsondecode(aws_ecs_task_definition.this["api"].container_definitions)[0].secrets : secret.valueFrom if secret.name == "PROCESS_TOKEN"]) == var.secrets["PROCESS_TOKEN"]
    error_message = "Further secrets go by reference too."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.secret["api/PROCESS_TOKEN"].policy).Statement[0].Resource == "arn:aws:secretsmanager:eu-west-1:123456789012:secret:process-token-AbCdEf"
    error_message = "Who may read a secret is said without its key."
  }
  assert {
    condition     = alltrue([for task, definition in aws_ecs_task_definition.this : alltrue([for container in jsondecode(definition.container_definitions) : alltrue([for variable in container.environment : !can(regex("://[^/@]*:[^/@]+@", variable.value))])])])
    error_message = "No environment has a URL with a password."
  }
  assert {
    condition     = keys(aws_iam_role_policy.secret) == ["analysis_worker/DATABASE_URL", "analysis_worker/PROCESS_TOKEN", "api/DATABASE_URL", "api/PROCESS_TOKEN", "gpu_worker/DATABASE_URL", "gpu_worker/PROCESS_TOKEN", "migrate/DATABASE_URL", "migrate/OWNER"]
    error_message = "The owner's password is the migration's alone."
  }

  # ---- Roles ----

  assert {
    condition     = length(setintersection([for statement in jsondecode(aws_iam_role_policy.task["gpu_worker"].policy).Statement : statement.Sid], ["SendTheQueuesFigures"])) == 0
    error_message = "GPU workers may not send metrics: at none of them nobody would."
  }
  assert {
    condition     = keys(aws_iam_role_policy.inputs) == ["analysis_worker/our-videos", "api/our-videos", "gpu_worker/our-videos"] && keys(aws_iam_role_policy.outputs) == ["our-films"]
    error_message = "All read inputs; the analysis worker alone writes films elsewhere."
  }

  # ---- Scaling ----

  assert {
    condition     = aws_appautoscaling_target.gpu_worker.min_capacity == 0 && aws_appautoscaling_target.gpu_worker.max_capacity == 10
    error_message = "The GPU service has 0 to 10 tasks."
  }
  assert {
    condition     = one(one(aws_appautoscaling_policy.target_tracking["backlog-per-worker"].target_tracking_scaling_policy_configuration).customized_metric_specification).metric_name == "BacklogPerWorker"
    error_message = "Target tracking looks at the backlog per worker."
  }
  assert {
    condition     = alltrue([for rule, policy in aws_appautoscaling_policy.target_tracking : one(one(policy.target_tracking_scaling_policy_configuration).customized_metric_specification).namespace == "framefleet"])
    error_message = "Rules look at the fleet's own metrics."
  }
  assert {
    condition     = one(aws_appautoscaling_policy.target_tracking["backlog-per-worker"].target_tracking_scaling_policy_configuration).scale_out_cooldown == 60 && one(aws_appautoscaling_policy.target_tracking["backlog-per-worker"].target_tracking_scaling_policy_configuration).scale_in_cooldown == 300
    error_message = "Cooldowns are 60 s out and 300 s in."
  }
  assert {
    condition     = one(one(aws_appautoscaling_policy.step["from-zero"].step_scaling_policy_configuration).step_adjustment).scaling_adjustment == 1 && one(one(aws_appautoscaling_policy.step["to-zero"].step_scaling_policy_configuration).step_adjustment).scaling_adjustment == 0 && one(aws_appautoscaling_policy.step["to-zero"].step_scaling_policy_configuration).adjustment_type == "ExactCapacity"
    error_message = "The first queued chunk starts one worker; an idle fleet has none."
  }
  assert {
    condition     = alltrue([for rule, alarm in aws_cloudwatch_metric_alarm.scaling : alarm.alarm_actions == toset([aws_appautoscaling_policy.step[rule].arn]) && alarm.dimensions == tomap({ Service = "framefleet" })])
    error_message = "Each step has its alarm, on this installation's metric."
  }
  assert {
    condition     = one(one(aws_ecs_capacity_provider.gpu.auto_scaling_group_provider).managed_scaling).status == "ENABLED" && one(aws_ecs_capacity_provider.gpu.auto_scaling_group_provider).managed_termination_protection == "ENABLED" && aws_autoscaling_group.gpu.protect_from_scale_in
    error_message = "ECS scales the instances and protects those with tasks."
  }
  assert {
    condition     = aws_autoscaling_group.gpu.min_size == 0 && aws_autoscaling_group.gpu.max_size >= aws_appautoscaling_target.gpu_worker.max_capacity
    error_message = "Instances go from none to as many as there are tasks."
  }
  assert {
    condition     = toset([for override in one(one(aws_autoscaling_group.gpu.mixed_instances_policy).launch_template).override : split(".", override.instance_type)[0]]) == toset(["g4dn", "g5", "g6"])
    error_message = "Instances are of g4dn, g5 and g6."
  }
  assert {
    condition     = one(aws_launch_template.gpu.metadata_options).http_tokens == "required" && one(aws_launch_template.gpu.metadata_options).http_put_response_hop_limit == 2
    error_message = "Instance metadata is version 2 alone, and reached from containers."
  }
  assert {
    condition     = strcontains(base64decode(aws_launch_template.gpu.user_data), "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true") && strcontains(base64decode(aws_launch_template.gpu.user_data), "ECS_CLUSTER=framefleet\n") && strcontains(base64decode(aws_launch_template.gpu.user_data), "ECS_CONTAINER_STOP_TIMEOUT=120s")
    error_message = "The agent joins the cluster, drains at a spot notice, and waits 120 s."
  }

  # ---- Services ----

  assert {
    condition     = alltrue([for service in [aws_ecs_service.api, aws_ecs_service.analysis_worker, aws_ecs_service.gpu_worker] : one(service.deployment_circuit_breaker).enable && one(service.deployment_circuit_breaker).rollback])
    error_message = "Every service goes back by itself."
  }
  assert {
    condition     = aws_ecs_service.gpu_worker.desired_count == 0 && aws_ecs_service.analysis_worker.desired_count >= 1
    error_message = "The fleet starts with no GPU worker and with an analysis worker."
  }

  # ---- The way in ----

  assert {
    condition     = aws_lb_target_group.api.health_check[0].path == "/ready" && aws_lb_listener.https.protocol == "HTTPS" && startswith(aws_lb_listener.https.ssl_policy, "ELBSecurityPolicy-TLS13-") && aws_lb_listener.https.certificate_arn == var.certificate_arn && aws_lb.this.drop_invalid_header_fields
    error_message = "TLS 1.3 is spoken, and tasks that are not ready get no requests."
  }
  assert {
    condition     = one(aws_lb_listener.http.default_action).type == "redirect" && one(one(aws_lb_listener.http.default_action).redirect).protocol == "HTTPS"
    error_message = "HTTP is sent to HTTPS."
  }
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.clients : rule.cidr_ipv4]) == toset(["203.0.113.0/24"])
    error_message = "Only the named clients reach the load balancer."
  }

  # ---- Objects and database ----

  assert {
    condition     = aws_s3_bucket_public_access_block.this.block_public_acls && aws_s3_bucket_public_access_block.this.block_public_policy && aws_s3_bucket_public_access_block.this.ignore_public_acls && aws_s3_bucket_public_access_block.this.restrict_public_buckets
    error_message = "The bucket is private."
  }
  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "The bucket is encrypted."
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Effect == "Deny" && jsondecode(aws_s3_bucket_policy.this.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "The bucket refuses what comes without TLS."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : one(rule.abort_incomplete_multipart_upload).days_after_initiation if rule.id == "abandoned-parts"]) == 7
    error_message = "Abandoned parts go after a week."
  }
  assert {
    condition     = one([for rule in one(aws_s3_bucket_cors_configuration.this).cors_rule : "${one(rule.allowed_origins)} ${one(rule.allowed_methods)}"]) == "https://framefleet.example PUT"
    error_message = "The page may send parts to the bucket, and nobody else's page."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : "${one(rule.filter).prefix} ${one(rule.expiration).days}" if rule.id == "ended-jobs"]) == "jobs/ 21"
    error_message = "Objects of jobs go a week after the retention."
  }
  assert {
    condition     = aws_db_instance.this.storage_encrypted && !aws_db_instance.this.publicly_accessible && aws_db_instance.this.manage_master_user_password && aws_db_instance.this.deletion_protection && aws_db_instance.this.backup_retention_period >= 7 && !aws_db_instance.this.skip_final_snapshot
    error_message = "The database is private, encrypted, backed up, and not deleted by mistake."
  }
  assert {
    condition     = one([for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "rds.force_ssl"]) == "1"
    error_message = "The database speaks TLS alone."
  }
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.database : rule.from_port]) == toset([5432]) && alltrue([for rule in aws_vpc_security_group_ingress_rule.database : rule.cidr_ipv4 == null])
    error_message = "Only API and workers reach the database."
  }

  # ---- Alarms ----

  assert {
    condition     = alltrue([for name in ["many-queued", "chunks-fail", "aggregation-slow", "oldest-queued", "no-workers", "old-transaction", "no-metrics", "jobs-fail"] : contains(keys(aws_cloudwatch_metric_alarm.this), name)])
    error_message = "An alarm is missing."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["many-queued"].threshold == 100 && aws_cloudwatch_metric_alarm.this["many-queued"].metric_name == "QueuedChunkCount" && aws_cloudwatch_metric_alarm.this["chunks-fail"].threshold == 5 && aws_cloudwatch_metric_alarm.this["aggregation-slow"].threshold == 120
    error_message = "Thresholds are 100 chunks, 5 %, 120 s."
  }
  assert {
    condition     = one([for query in aws_cloudwatch_metric_alarm.this["chunks-fail"].metric_query : query.expression if query.return_data]) == "IF(failed + completed > 0, 100 * failed / (failed + completed), 0)"
    error_message = "The share of failed chunks is computed from two metrics."
  }
  assert {
    condition     = alltrue([for name, alarm in aws_cloudwatch_metric_alarm.this : endswith(alarm.alarm_description, "https://example.com/docs/operations.md#alarm-${name}") && alarm.alarm_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "Every alarm tells somebody, and names its entry in the runbook."
  }
}

run "in_a_network_that_is_there" {
  command = plan

  variables {
    existing_network = {
      vpc_id             = "vpc-0123456789abcdef0"
      public_subnet_ids  = ["subnet-0a", "subnet-0b"]
      private_subnet_ids = ["subnet-0c", "subnet-0d"]
    }
    retention_days = 0
    running        = false
  }

  assert {
    condition     = length(aws_vpc.this) == 0 && length(aws_subnet.private) == 0 && length(aws_nat_gateway.this) == 0 && aws_ecs_service.api.network_configuration[0].subnets == toset(["subnet-0c", "subnet-0d"])
    error_message = "Nothing of a network is made, and tasks go into the private subnets."
  }
  assert {
    condition     = length([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule if rule.id == "ended-jobs"]) == 0
    error_message = "What is kept for ever has no rule that expires it."
  }
  assert {
    condition     = aws_ecs_service.api.desired_count == 0 && aws_ecs_service.analysis_worker.desired_count == 0
    error_message = "running = false starts nothing."
  }
}

# Each of these variables must be refused; one that is not fails the run.
run "what_is_refused" {
  command = plan

  variables {
    client_cidrs          = ["0.0.0.0/0"]             # keys alone are one wall
    release               = "latest"                  # nobody could say what runs
    environment           = { PROCESS_TOKEN = "abc" } # a secret that everybody could read
    secrets               = { PROCESS_TOKEN = "abc" } # the secret itself and no reference
    analysis_worker_count = 0                         # nobody would send the metric to scale on
    existing_network      = { vpc_id = "vpc-0", public_subnet_ids = ["subnet-0"], private_subnet_ids = [] }
  }

  expect_failures = [
    var.client_cidrs,
    var.release,
    var.environment,
    var.secrets,
    var.analysis_worker_count,
    var.existing_network,
  ]
}
