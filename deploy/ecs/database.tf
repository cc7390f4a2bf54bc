# PostgreSQL. Its owner's password is made and turned over by RDS, in Secrets Manager, and read by the migration task alone.
# Services log in as a role of their own, which may not change tables; where they log in is one secret, DATABASE_URL. It
# has no value here, so that no password is in the state: `python -m deploy.ecs.database_url` gives it one.

locals {
  database_name  = "framefleet"
  database_owner = "framefleet_owner"
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = local.private_subnet_ids
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-"
  family      = "postgres${var.database_major_version}"
  description = "TLS only"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.database_major_version
  instance_class = var.database_instance_class

  allocated_storage     = var.database_storage_gib
  max_allocated_storage = 5 * var.database_storage_gib
  storage_type          = "gp3"
  storage_encrypted     = true

  db_name                     = local.database_name
  username                    = local.database_owner
  manage_master_user_password = true
  port                        = 5432

  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.database.id]
  parameter_group_name   = aws_db_parameter_group.this.name
  publicly_accessible    = false
  multi_az               = var.database_multi_az

  backup_retention_period         = var.database_backup_days
  copy_tags_to_snapshot           = true
  deletion_protection             = !var.disposable
  skip_final_snapshot             = var.disposable
  final_snapshot_identifier       = var.disposable ? null : "${var.name}-last"
  auto_minor_version_upgrade      = true
  enabled_cloudwatch_logs_exports = ["postgresql"]

  depends_on = [aws_cloudwatch_log_group.database]
}

# RDS would make it, and keep everything for ever.
resource "aws_cloudwatch_log_group" "database" {
  name              = "/aws/rds/instance/${var.name}/postgresql"
  retention_in_days = var.log_retention_days
}

resource "aws_secretsmanager_secret" "database_url" {
  name                    = "${var.name}/database-url"
  description             = "DATABASE_URL of API and workers; its value comes from deploy/ecs/database_url.py"
  recovery_window_in_days = var.disposable ? 0 : 7
}
