#!/usr/bin/env bash
# Run once by the image of PostgreSQL on an empty volume: the twin works under a role that is no superuser.
set -euo pipefail

psql -v ON_ERROR_STOP=1 -v password="$DATABASE_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
create role digital_twin login createrole nosuperuser password :'password';
create database digital_twin owner digital_twin encoding 'UTF8' template template0;
SQL
