"""The compose stack brought up for real, by `make compose-test`: it needs root and an engine, so not in `make test`.

Debian's `docker.io`, `docker-compose` and `debootstrap` are all it needs. Nothing is pulled: the base image is made by
debootstrap under the tag that `service/Dockerfile` names, and Prometheus and Alertmanager are Debian's, under the tags
that `docker-compose.yml` names. Debian has no Grafana, so that service is left out.
"""
