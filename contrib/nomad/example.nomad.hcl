# An example of a job: nomad run -var image=registry.example/team/app:1 example.nomad.hcl
variable "image" {
  type = string
}

job "example" {
  group "app" {
    # The agent asks the helper; the job holds no credential.
    task "private" {
      driver = "docker"
      config {
        image = var.image
      }
    }

    # The helper has nothing for this registry, which the agent takes for a failure.
    task "public" {
      driver = "docker"
      config {
        image          = "quay.example/public/tool:1"
        auth_soft_fail = true
      }
    }
  }
}
