#!/bin/sh
# Makes models/.venv with the pinned requirements. PYTHON names the interpreter (3.11 or newer).
set -eu
cd "$(dirname "$0")"
"${PYTHON:-python3}" -m venv .venv
.venv/bin/python -m pip install --quiet --requirement requirements.txt
echo "ready: models/.venv/bin/python -m models.export --help (from the repository's root)"
