# What has no default must be said; terraform.tfvars.example has it all in one place.

variable "region" {
  description = "AWS region of everything."
  type        = string
}

variable "name" {
  description = "Begins the name of everything, and is the value of the metrics' dimension Service. Another name is another installation."
  type        = string
  default     = "framefleet"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 20 characters: lower-case letters, digits and hyphens, beginning with a letter (load balancers allow 32 in all)."
  }
}

variable "tags" {
  description = "Further tags on everything."
  type        = map(string)
  default     = {}
}

# Images

variable "release" {
  description = "Tag of the images that run: what was pushed as framefleet/api:RELEASE and so on."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.release)) && var.release != "latest"
    error_message = "release must be the tag of one build, such as 0.1.0. Not latest: nobody could say what runs, or go back to it."
  }
}

variable "image_registry" {
  description = "Registry host of the images; null: this account's own (ECR) in this region."
  type        = string
  default     = null
}

variable "repository_prefix" {
  description = "Repositories are PREFIX/api, PREFIX/analysis-worker, PREFIX/gpu-worker."
  type        = string
  default     = "framefleet"
}

variable "create_repositories" {
  description = "Make the repositories in ECR. False where they are there already, or image_registry is another's."
  type        = bool
  default     = true
}

# Network

variable "existing_network" {
  description = "A VPC to go into; null makes a small one. Private subnets need a way to ECR, S3, CloudWatch, Secrets Manager and to the sources on the web (NAT or endpoints)."
  type = object({
    vpc_id             = string
    public_subnet_ids  = list(string)
    private_subnet_ids = list(string)
  })
  default = null

  validation {
    condition     = var.existing_network == null ? true : length(var.existing_network.public_subnet_ids) >= 2 && length(var.existing_network.private_subnet_ids) >= 2
    error_message = "existing_network needs two public and two private subnets at least, in different zones: load balancer and database ask for that."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC that is made."
  type        = string
  default     = "10.60.0.0/16"

  validation {
    condition     = can(cidrsubnet(var.vpc_cidr, 4, 15))
    error_message = "vpc_cidr must be an IPv4 range such as 10.60.0.0/16, with room for sixteen subnets."
  }
}

variable "availability_zones" {
  description = "Zones of the VPC that is made, two at least, where GPU instances are to be had; null: the region's a and b."
  type        = list(string)
  default     = null

  validation {
    condition     = var.availability_zones == null ? true : length(var.availability_zones) >= 2
    error_message = "availability_zones needs two at least."
  }
}

variable "certificate_arn" {
  description = "ACM certificate of the API's name, in this region."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:acm:", var.certificate_arn))
    error_message = "certificate_arn must be an ARN of ACM, such as arn:aws:acm:eu-west-1:123456789012:certificate/…: aws acm list-certificates shows yours."
  }
}

variable "client_cidrs" {
  description = "Who may reach the API, which asks each of them for a key: your office, your VPN, your proxy."
  type        = list(string)

  validation {
    condition     = length(var.client_cidrs) > 0 && alltrue([for cidr in var.client_cidrs : can(cidrnetmask(cidr)) && !endswith(cidr, "/0")])
    error_message = "client_cidrs must name IPv4 ranges such as 203.0.113.0/24. Not the whole internet: the API asks for keys, and this is the wall before it; put a proxy in front for clients that may be anywhere, and name its addresses."
  }
}

variable "internal_load_balancer" {
  description = "Put the load balancer into the private subnets: for clients in the VPC or behind a VPN."
  type        = bool
  default     = false
}

# Objects

variable "bucket_name" {
  description = "Bucket of the fleet (S3_COACH_VIDEOS_BUCKET); null: NAME-ACCOUNT-REGION. It is made here."
  type        = string
  default     = null
}

variable "bucket_versioning" {
  description = "Keep what was overwritten or deleted for a week more."
  type        = bool
  default     = false
}

variable "page_origins" {
  description = "Where the page is opened, such as https://framefleet.example: browsers there may upload to the bucket."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.page_origins : can(regex("^https://[^/*]+$", origin))])
    error_message = "page_origins are https:// and a host each, without a path or a wildcard."
  }
}

variable "input_buckets" {
  description = "Buckets that clients may name as s3:// inputs."
  type        = set(string)
  default     = []
}

variable "output_buckets" {
  description = "Buckets that films are written to (output_uri, beside inputs, OUTPUT_BUCKET)."
  type        = set(string)
  default     = []
}

variable "retention_days" {
  description = "RETENTION_DAYS: jobs and their objects are deleted so long after their end. 0 keeps them for ever."
  type        = number
  default     = 14

  validation {
    condition     = var.retention_days >= 0 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days must be 0 or a whole number of days."
  }
}

# Database

variable "database_instance_class" {
  description = "A worker holds two connections: db.t4g.medium has room for 100 workers."
  type        = string
  default     = "db.t4g.medium"
}

variable "database_major_version" {
  description = "Major version of PostgreSQL."
  type        = string
  default     = "17"

  validation {
    condition     = contains(["14", "15", "16", "17", "18"], var.database_major_version)
    error_message = "database_major_version must be 14, 15, 16, 17 or 18."
  }
}

variable "database_storage_gib" {
  description = "Storage of the database at first; it grows by itself to five times that."
  type        = number
  default     = 20
}

variable "database_multi_az" {
  description = "A standby in a second zone, which takes over by itself."
  type        = bool
  default     = true
}

variable "database_backup_days" {
  description = "How many days back the database can be restored to."
  type        = number
  default     = 7
}

variable "disposable" {
  description = "Let terraform destroy take database and bucket with everything in them, and no last snapshot. Never in production."
  type        = bool
  default     = false
}

# The fleet

variable "running" {
  description = "False: no API and no analysis worker. For the first apply, when images and the database's secret are not there yet."
  type        = bool
  default     = true
}

variable "api_count" {
  description = "API tasks."
  type        = number
  default     = 2
}

variable "analysis_worker_count" {
  description = "Analysis workers, at least one: without them no film is finished and the fleet does not scale."
  type        = number
  default     = 2

  validation {
    condition     = var.analysis_worker_count >= 1
    error_message = "analysis_worker_count must be 1 at least: without an analysis worker no film is finished and nobody sends the metric that the fleet scales on."
  }
}

variable "sizes" {
  description = "Other sizes than those in task_definitions/: by task (api, analysis_worker, gpu_worker, migrate), cpu in units of 1/1024, memory in MiB, scratch in GiB (Fargate)."
  type = map(object({
    cpu         = optional(number)
    memory_mib  = optional(number)
    scratch_gib = optional(number)
  }))
  default = {}

  validation {
    condition     = length(setsubtract(keys(var.sizes), ["api", "analysis_worker", "gpu_worker", "migrate"])) == 0
    error_message = "sizes knows api, analysis_worker, gpu_worker and migrate."
  }
}

variable "gpu_instance_types" {
  description = "Instances with one GPU and 16 GiB, the first preferred for on-demand; spot takes what is cheap and likely to stay. All must be in your zones."
  type        = list(string)
  default     = ["g4dn.xlarge", "g6.xlarge", "g5.xlarge"]
}

variable "gpu_ami_parameter" {
  description = "SSM parameter that holds the AMI: AWS's newest, for ECS on GPUs. An apply brings a newer one to instances that start after it."
  type        = string
  default     = "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id"
}

variable "gpu_on_demand_base" {
  description = "So many GPU instances are on-demand before any is spot."
  type        = number
  default     = 0
}

variable "gpu_on_demand_percentage" {
  description = "Above that, this share is on-demand; the rest is spot."
  type        = number
  default     = 0

  validation {
    condition     = var.gpu_on_demand_percentage >= 0 && var.gpu_on_demand_percentage <= 100
    error_message = "gpu_on_demand_percentage must be from 0 to 100."
  }
}

variable "gpu_disk_gib" {
  description = "Disk of a GPU instance: the system, the image (about 10 GiB) and the worker's scratch space."
  type        = number
  default     = 120

  validation {
    condition     = var.gpu_disk_gib >= 60
    error_message = "gpu_disk_gib must be 60 at least: the system and the image take about 40."
  }
}

variable "environment" {
  description = "Further settings of all services (docs/running.md), or others than those in task_definitions/. No secrets: those go into secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, value in var.environment : !can(regex("DATABASE_URL|SECRET|PASSWORD|TOKEN|ACCESS_KEY|HMAC_KEY", name)) && !can(regex("://[^/@]*:[^/@]+@", value))])
    error_message = "environment has a secret in it, which everybody could read who may describe a task definition. Put it into Secrets Manager and its ARN into secrets."
  }
}

variable "secrets" {
  description = "Further secrets of all services: name of the setting = ARN in Secrets Manager, such as PROCESS_TOKEN."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.secrets) : can(regex("^arn:aws[a-z-]*:secretsmanager:", arn))])
    error_message = "secrets must hold ARNs of Secrets Manager, never the secret itself."
  }
}

variable "chunk_seconds" {
  description = "CHUNK_SECONDS."
  type        = number
  default     = 30
}

variable "sample_fps" {
  description = "SAMPLE_FPS of jobs that do not name their own."
  type        = number
  default     = 10
}

variable "max_width" {
  description = "MAX_WIDTH: pixels of the longer side that the detector sees."
  type        = number
  default     = 640
}

variable "poll_seconds" {
  description = "COACH_PLUS_ANALYSIS_POLL_SECONDS: how long an idle worker waits before it asks again."
  type        = number
  default     = 1
}

variable "wait_for_steady_state" {
  description = "An apply ends when the new tasks run, and fails when ECS rolled back; services follow one another, the API last."
  type        = bool
  default     = true
}

# What operators see

variable "metrics_namespace" {
  description = "CloudWatch namespace of the fleet's metrics."
  type        = string
  default     = "framefleet"
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30
}

variable "alarm_emails" {
  description = "Who hears of alarms; each has to confirm once."
  type        = set(string)
  default     = []
}

variable "runbook_url" {
  description = "Where docs/operations.md can be read; every alarm names its entry there."
  type        = string
  default     = "docs/operations.md"
}
