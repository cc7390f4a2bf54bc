# What the next commands need: terraform output -json > outputs.json (database_url.py reads it)

output "region" {
  description = "Where everything is."
  value       = var.region
}

output "cluster" {
  description = "The ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "database_url_secret_arn" {
  description = "The secret that services read DATABASE_URL from."
  value       = aws_secretsmanager_secret.database_url.arn
}

output "database_host" {
  description = "The database's name."
  value       = aws_db_instance.this.address
}

output "database_name" {
  description = "The database in it."
  value       = local.database_name
}

output "bucket" {
  description = "The fleet's bucket."
  value       = aws_s3_bucket.this.bucket
}

output "registry" {
  description = "Where images are pushed: REGISTRY/PREFIX/api:RELEASE and so on."
  value       = local.registry
}

output "api_host" {
  description = "The load balancer; point the certificate's name at it (CNAME or alias)."
  value       = aws_lb.this.dns_name
}

output "alarm_topic_arn" {
  description = "Further receivers of alarms subscribe to it."
  value       = aws_sns_topic.alarms.arn
}

output "dashboard_url" {
  description = "The dashboard."
  value       = "https://${var.region}.console.aws.amazon.com/cloudwatch/home?region=${var.region}#dashboards:name=${aws_cloudwatch_dashboard.this.dashboard_name}"
}
