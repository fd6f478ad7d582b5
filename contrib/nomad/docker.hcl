# The client's configuration: copy it to /etc/nomad.d/, where the agent reads every file.
plugin "docker" {
  config {
    auth {
      # docker-credential-pass, which the agent looks for on its PATH.
      helper = "pass"
    }
  }
}
