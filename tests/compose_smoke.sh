#!/usr/bin/env bash
# Proves docker-compose.yml with a real engine: brings the stack up, ingests the newspaper from a container on the same
# network, checks the documents in Postgres, restarts each container in turn and checks again, restores a backup into a fresh stack, takes
# everything down.
# Needs: docker with compose. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

env_file=$(mktemp) backup=$(mktemp -d)
cat >"$env_file" <<EOF
POSTGRES_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
REDIS_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
NEWSMILL_WEB_TOKEN=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
NEWSMILL_CONTACT=smoke@localhost
NEWSMILL_ALLOW_NETS=172.16.0.0/12,192.168.0.0/16,10.0.0.0/8
EOF
compose() { docker compose --progress quiet --env-file "$env_file" -p newsmill-smoke -f docker-compose.yml -f tests/compose.smoke.yml "$@"; }
finish() {
  status=$?
  [ $status -eq 0 ] || { compose ps -a; compose logs --tail 60 crawler worker scheduler web migrate; }
  compose down -v --remove-orphans --timeout 20 >/dev/null 2>&1
  rm -rf "$env_file" "$backup"
  [ $status -eq 0 ] && echo "compose smoke: passed" || echo "compose smoke: FAILED"
}
trap finish EXIT

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
sql() { compose exec -T db psql -U newsmill -d newsmill -qAtc "$1"; }
newsmill() { compose exec -T scheduler newsmill "$@"; }
documents() { sql "SELECT count(*) FROM documents"; }
wait_for() { # wait_for WHAT SECONDS COMMAND…: until COMMAND succeeds
  local what=$1 left=$2; shift 2
  until "$@"; do left=$((left - 1)); [ $left -gt 0 ] || { say "gave up waiting: $what"; return 1; }; sleep 1; done
}
healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$(compose ps -q "$1")" 2>/dev/null)" = healthy ]; }
stored() { newsmill trace --json "$1" | grep -q '"outcome": *"stored"'; }

say "build and start"
compose build -q
compose up -d --quiet-pull
for service in redis db crawler worker scheduler web newspaper; do wait_for "$service healthy" 240 healthy "$service"; done
say "all containers healthy; schema: $(sql 'SELECT version_num FROM alembic_version')"

site=http://newspaper:8000
mapfile -t articles < <(awk '/^\[/ {article = /^\[articles\./} article && /^url = / {gsub(/^url = "|"$/, ""); print}' tests/newspaper/expected.toml)
say "${#articles[@]} articles in the newspaper"

next=0
submit_one() { # one more article goes the whole way
  local url=$site${articles[$next]}; next=$((next + 1))
  newsmill submit "$url" >/dev/null
  wait_for "$url stored" 120 stored "$url"
}
submit_one
say "first article stored; documents: $(documents)"

for service in redis db crawler worker scheduler web; do
  before=$(documents)
  compose restart --timeout 30 "$service" >/dev/null 2>&1
  wait_for "$service healthy again" 240 healthy "$service"
  submit_one
  after=$(documents)
  say "restarted $service: documents $before -> $after"
  [ "$after" -eq $((before + 1)) ]
done

say "kill -9 of the worker's and the crawler's container"
compose kill -s KILL worker crawler >/dev/null 2>&1
compose up -d >/dev/null 2>&1
for service in crawler worker; do wait_for "$service healthy again" 240 healthy "$service"; done

newsmill add "$site/" --name newspaper --yes >/dev/null
all_stored() { [ "$(documents)" -ge "${#articles[@]}" ]; }
wait_for "the whole newspaper stored" 300 all_stored
compose up -d --scale worker=2 >/dev/null 2>&1
sleep 5
total=$(documents) unique=$(sql "SELECT count(DISTINCT id) FROM documents") pending=$(sql "SELECT count(*) FROM ledger WHERE kind = 'page' AND state IN ('fetched', 'processing')")
footers=$(sql "SELECT count(*) FROM documents WHERE text ~ 'source site-[0-9]+'")
say "documents $total (different ids $unique), articles ${#articles[@]}, pages pending $pending, footers left $footers"
[ "$total" -eq "${#articles[@]}" ] && [ "$unique" -eq "$total" ] && [ "$footers" -eq 0 ]

say "backup, and its restore into a fresh stack, as in docs/guides/operating.md"
compose exec -T db pg_dump -Fc -U newsmill newsmill >"$backup/newsmill.dump"
compose exec -T worker tar -C /data --exclude='*.tmp' -c archive >"$backup/archive.tar"
compose down -v >/dev/null 2>&1
compose up -d --wait db >/dev/null 2>&1
compose exec -T db pg_restore --no-owner -U newsmill -d newsmill <"$backup/newsmill.dump"
compose run --rm -T --no-deps --entrypoint tar worker -C /data -x <"$backup/archive.tar"
compose up -d >/dev/null 2>&1
for service in crawler worker scheduler web; do wait_for "$service healthy" 240 healthy "$service"; done
newsmill doctor --deep
say "restored: documents $(documents)"
[ "$(documents)" -eq "$total" ]
newsmill retry "$site${articles[0]}" >/dev/null # from the archive, so a worker reads it
wait_for "${articles[0]} read again" 120 stored "$site${articles[0]}"
