# An image made from one of a private registry, and pushed to another place there.
#   packer build -var base=registry.example/team/base:1 -var repository=registry.example/team/app .
variable "base" {
  type = string
}

variable "repository" {
  type = string
}

# No login = true, here or below, and no login_username: they end with `docker logout`, which erases the credential from the
# store, also one that was there before.
source "docker" "app" {
  image  = var.base
  commit = true
}

build {
  sources = ["source.docker.app"]

  provisioner "shell" {
    inline = ["echo made by packer > /made-by"]
  }

  post-processors {
    post-processor "docker-tag" {
      repository = var.repository
      tag        = ["1"]
    }
    post-processor "docker-push" {}
  }
}
