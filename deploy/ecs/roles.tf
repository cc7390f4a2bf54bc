# Who may do what. Every policy is a file in policies/: the same that `python -m deploy.ecs.render` fills in, and that the
# tests look through. A task has two roles: the execution role starts it (image, log, secrets), the task role is what the
# program in it may do.

locals {
  account_id = data.aws_caller_identity.this.account_id
  partition  = data.aws_partition.this.partition

  # What policies and task definitions are filled in with. Roles, secrets and hosts come on top where they are needed.
  values = {
    name              = var.name
    region            = var.region
    account_id        = local.account_id
    partition         = local.partition
    bucket            = local.bucket
    registry          = local.registry
    repository_prefix = var.repository_prefix
    release           = var.release
    metrics_namespace = var.metrics_namespace
    retention_days    = var.retention_days
    chunk_seconds     = var.chunk_seconds
    sample_fps        = var.sample_fps
    max_width         = var.max_width
    poll_seconds      = var.poll_seconds
  }

  tasks = {
    api             = { service = "api", image = "api", policy = "api_task" }
    analysis_worker = { service = "analysis-worker", image = "analysis-worker", policy = "analysis_worker_task" }
    gpu_worker      = { service = "gpu-worker", image = "gpu-worker", policy = "gpu_worker_task" }
    migrate         = { service = "migrate", image = "api", policy = null }
  }

  service_secrets = merge(
    { DATABASE_URL = aws_secretsmanager_secret.database_url.arn },
    # An ARN may go on with a key and a version of the secret; who may read it ends before.
    { for name, arn in var.secrets : name => join(":", slice(split(":", arn), 0, 7)) },
  )

  task_secrets = merge(
    {
      for pair in setproduct(["api", "analysis_worker", "gpu_worker"], concat(["DATABASE_URL"], keys(var.secrets))) :
      "${pair[0]}/${pair[1]}" => { task = pair[0], arn = local.service_secrets[pair[1]] }
    },
    {
      "migrate/OWNER"        = { task = "migrate", arn = local.database_owner_secret_arn }
      "migrate/DATABASE_URL" = { task = "migrate", arn = aws_secretsmanager_secret.database_url.arn }
    },
  )

  readers = { for pair in setproduct(["api", "analysis_worker", "gpu_worker"], var.input_buckets) : "${pair[0]}/${pair[1]}" => { task = pair[0], bucket = pair[1] } }
}

resource "aws_iam_role" "execution" {
  for_each = local.tasks

  name               = "${var.name}-${each.value.service}-execution"
  assume_role_policy = templatefile("${path.module}/policies/trust_tasks.json", local.values)
}

resource "aws_iam_role_policy" "execution" {
  for_each = local.tasks

  name   = "start"
  role   = aws_iam_role.execution[each.key].id
  policy = templatefile("${path.module}/policies/execution.json", merge(local.values, { service = each.value.service, image = each.value.image }))
}

resource "aws_iam_role_policy" "secret" {
  for_each = local.task_secrets

  name   = "read-${replace(lower(split("/", each.key)[1]), "_", "-")}"
  role   = aws_iam_role.execution[each.value.task].id
  policy = templatefile("${path.module}/policies/read_secret.json", { secret_arn = each.value.arn })
}

resource "aws_iam_role" "task" {
  for_each = local.tasks

  name               = "${var.name}-${each.value.service}-task"
  assume_role_policy = templatefile("${path.module}/policies/trust_tasks.json", local.values)
}

resource "aws_iam_role_policy" "task" {
  for_each = { for task, facts in local.tasks : task => facts.policy if facts.policy != null }

  name   = "work"
  role   = aws_iam_role.task[each.key].id
  policy = templatefile("${path.module}/policies/${each.value}.json", local.values)
}

resource "aws_iam_role_policy" "inputs" {
  for_each = local.readers

  name   = "read-${each.value.bucket}"
  role   = aws_iam_role.task[each.value.task].id
  policy = templatefile("${path.module}/policies/read_inputs.json", merge(local.values, { input_bucket = each.value.bucket }))
}

resource "aws_iam_role_policy" "outputs" {
  for_each = var.output_buckets

  name   = "write-${each.value}"
  role   = aws_iam_role.task["analysis_worker"].id
  policy = templatefile("${path.module}/policies/write_outputs.json", merge(local.values, { output_bucket = each.value }))
}

resource "aws_iam_role" "instance" {
  name               = "${var.name}-gpu-instance"
  assume_role_policy = templatefile("${path.module}/policies/trust_instances.json", local.values)
}

# AWS's own for the agent: it registers the instance and starts tasks. It reaches no object and no secret.
resource "aws_iam_role_policy_attachment" "instance" {
  role       = aws_iam_role.instance.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_instance_profile" "this" {
  name = "${var.name}-gpu-instance"
  role = aws_iam_role.instance.name
}
