#!/usr/bin/env bash
# The twin in containers on this machine; see docs/how-to/deploy-with-docker.md
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
env_file="$root/config/.env"
secrets=(POSTGRES_PASSWORD DATABASE_PASSWORD SECRET_KEY JWT_SECRET_KEY GRAFANA_ADMIN_PASSWORD METERS_PASSWORD)
timeout_s=${DEPLOY_TIMEOUT_S:-300}
terminal=()

usage() {
  cat <<'TEXT'
deploy.sh up [--build] [--without SERVICE]   start everything and wait until it is healthy; --build after an upgrade
deploy.sh status                             what runs, and how it is
deploy.sh logs [SERVICE...]                  follow the logs
deploy.sh stop                               stop; `up` goes on where it was
deploy.sh down                               stop and remove the containers; the data stay in their volumes
deploy.sh admin --username NAME --email ADDRESS   make an administrator
TEXT
}

fail() {
  echo "deploy.sh: $*" >&2
  exit 1
}

compose() {
  docker compose --project-directory "$root" --file "$root/docker-compose.yml" --env-file "$env_file" "$@"
}

check_docker() {
  command -v docker >/dev/null ||
    fail "docker is missing; install Docker Engine with its compose plugin: https://docs.docker.com/engine/install/"
  docker compose version >/dev/null 2>&1 ||
    fail "docker has no 'compose' command; install the package docker-compose-plugin (docker-compose-v2 on Ubuntu)"
  docker info >/dev/null 2>&1 ||
    fail "the Docker daemon does not answer; start it (systemctl start docker), and see that you may use it (group docker)"
}

# whether config/.env gives the name a value
is_set() {
  [ -f "$env_file" ] && grep -Eq "^[[:space:]]*(export[[:space:]]+)?$1=[\"']?[^\"'[:space:]]" "$env_file"
}

# setting NAME DEFAULT: as compose reads it, from the environment before config/.env
setting() {
  local line
  if [ -n "${!1:-}" ]; then
    echo "${!1}"
    return
  fi
  line=$(grep -E "^$1=." "$env_file" | tail -n 1) || true
  line=${line#*=}
  echo "${line:-$2}"
}

# fresh passwords would not open a database that was made with others
check_database_is_ours() {
  if docker volume inspect digital-twin_postgres_data >/dev/null 2>&1; then
    fail "the volume digital-twin_postgres_data holds the database of an earlier deployment, and config/.env lacks $1;" \
      "put that config/.env back, or give the data up with: docker volume rm digital-twin_postgres_data"
  fi
}

make_secrets() {
  local name
  for name in "${secrets[@]}"; do
    if ! is_set "$name"; then
      case $name in POSTGRES_PASSWORD | DATABASE_PASSWORD | SECRET_KEY) check_database_is_ours "$name" ;; esac
    fi
  done
  umask 077
  touch "$env_file"
  chmod 600 "$env_file"
  if [ -n "$(tail -c 1 "$env_file")" ]; then echo >>"$env_file"; fi
  for name in "${secrets[@]}"; do
    if ! is_set "$name"; then
      echo "$name=$(head -c 36 /dev/urandom | base64 | tr '+/' '-_')" >>"$env_file"
      echo "made $name in config/.env"
    fi
  done
}

show_failed() {
  local service state health
  echo "deploy.sh: not everything came up and became healthy within $timeout_s seconds" >&2
  while read -r service state health; do
    if [ "$state" != running ] || { [ -n "$health" ] && [ "$health" != healthy ]; }; then
      echo "--- $service is $state ${health:+($health)}; the end of its log:" >&2
      compose logs --no-color --no-log-prefix --tail 40 "$service" >&2
    fi
  done < <(compose ps --all --format '{{.Service}} {{.State}} {{.Health}}')
  exit 1
}

up() {
  local build=() services
  services=" $(compose config --services | paste -sd ' ') "
  while [ $# -gt 0 ]; do
    case $1 in
      --build) build=(--build) ;;
      --without)
        [ $# -ge 2 ] || fail "--without needs the name of a service"
        [[ $services == *" $2 "* ]] || fail "there is no service $2 to leave out of$services"
        services=${services/" $2 "/ }
        shift
        ;;
      *) fail "up knows --build and --without SERVICE, not $1" ;;
    esac
    shift
  done
  # read by the containers' users, whatever your umask is
  chmod -R a+rX "$root/deployment"
  # shellcheck disable=SC2086  # the services are words
  compose up --detach --remove-orphans --wait --wait-timeout "$timeout_s" "${build[@]}" $services || show_failed
  # its rules may have changed while it ran
  [[ $services != *" prometheus "* ]] || compose kill --signal HUP prometheus >/dev/null 2>&1 || true
  show_addresses "$services"
}

# show_addresses SERVICES: of those that were started
show_addresses() {
  local host
  host=$(setting BIND_ADDRESS localhost)
  case $host in 127.0.0.1 | 0.0.0.0) host=localhost ;; esac
  echo
  [[ $1 != *" api "* ]] || echo "API        http://$host:$(setting API_PORT 8000)/docs"
  [[ $1 != *" dashboard "* ]] || echo "dashboard  http://$host:$(setting DASHBOARD_PORT 8501)"
  [[ $1 != *" grafana "* ]] ||
    echo "Grafana    http://$host:$(setting GRAFANA_PORT 3000)   (admin, with GRAFANA_ADMIN_PASSWORD of config/.env)"
  printf '\nThe first administrator: %s admin --username ada --email ada@example.org\n' "$0"
}

command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
  help | --help | -h) usage; exit ;;
  up | status | logs | stop | down | admin) check_docker ;;
  *) usage >&2; fail "there is no command $command" ;;
esac
if [ "$command" = up ]; then
  # --without is checked by compose, which wants the secrets
  make_secrets
elif [ ! -f "$env_file" ]; then
  fail "nothing is deployed from here yet; start with: $0 up"
fi
case $command in
  up) up "$@" ;;
  status) compose ps --all "$@" ;;
  logs) compose logs --follow --tail 100 "$@" ;;
  stop) compose stop "$@" ;;
  down) compose down --remove-orphans ;;
  admin)
    [ -t 0 ] || terminal=(--no-TTY)
    compose exec "${terminal[@]}" api digital-twin admin create "$@"
    ;;
esac
