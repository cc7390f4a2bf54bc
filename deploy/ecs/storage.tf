# The bucket of the fleet, and the repositories of its images.

locals {
  bucket   = coalesce(var.bucket_name, "${var.name}-${local.account_id}-${var.region}")
  registry = coalesce(var.image_registry, "${local.account_id}.dkr.ecr.${var.region}.amazonaws.com")
  images   = ["api", "analysis-worker", "gpu-worker"]
}

resource "aws_s3_bucket" "this" {
  bucket        = local.bucket
  force_destroy = var.disposable
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket = aws_s3_bucket.this.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    # Suspended, not Disabled: a bucket that had versions cannot go back to having none.
    status = var.bucket_versioning ? "Enabled" : "Suspended"
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket     = aws_s3_bucket.this.id
  policy     = templatefile("${path.module}/policies/bucket.json", local.values)
  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket     = aws_s3_bucket.this.id
  depends_on = [aws_s3_bucket_versioning.this]

  rule {
    id     = "abandoned-parts"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7 # a large upload over a slow line takes more than one
    }
  }

  # The janitor deletes a job's objects retention_days after its end. This rule is the net below it, and counts from when
  # an object was written: a week more, so that no job that waits or runs loses its source.
  dynamic "rule" {
    for_each = var.retention_days > 0 ? [var.retention_days + 7] : []

    content {
      id     = "ended-jobs"
      status = "Enabled"

      filter {
        prefix = "jobs/"
      }

      expiration {
        days = rule.value
      }
    }
  }

  rule {
    id     = "former-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 7
    }
  }
}

# The parts of an upload go from the page straight here, under links that the API signs. Without it they go through the API.
resource "aws_s3_bucket_cors_configuration" "this" {
  count  = length(var.page_origins) > 0 ? 1 : 0
  bucket = aws_s3_bucket.this.id

  cors_rule {
    allowed_origins = var.page_origins
    allowed_methods = ["PUT"]
    allowed_headers = ["*"]
    max_age_seconds = 3600
  }
}

resource "aws_ecr_repository" "this" {
  for_each = toset(var.create_repositories ? local.images : [])

  name                 = "${var.repository_prefix}/${each.value}"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.disposable

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name
  policy     = file("${path.module}/image_lifecycle.json")
}
