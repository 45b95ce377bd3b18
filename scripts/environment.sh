# Sourced by the other scripts: a virtual environment with everything, made once and renewed when the locks change.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

find_python() {
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "Python 3.11, 3.12 or 3.13 is needed; name one with PYTHON=/path/to/python" >&2
  return 1
}

# prepare LOCK [SOURCE]: install the lock file and this project into .venv
prepare() {
  local lock=$1 stamp python
  python=$(find_python)
  stamp=".venv/.installed-$(basename "$lock")"
  if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'pass' 2>/dev/null; then
    "$python" -m venv .venv
  fi
  if [ ! -e "$stamp" ] || ! cmp -s "$lock" "$stamp"; then
    echo "installing what $lock names into .venv ..."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
    cp "$lock" "$stamp"
  fi
}
