#!/bin/bash
# What Signoff does on this machine's GPU, in at most ten minutes: one line for each claim, and report.json.
#
#   bash benchmarks/gpu.sh [FOLDER FOR THE REPORT]      with .venv/bin/python, or PYTHON=… of an environment whose torch has CUDA
#
# Ends with 0 where every claim held, 1 where one did not, 2 where there is no GPU to try it on. Leave the GPU to it meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-${OUT:-gpu-report}}
exec timeout --kill-after=10 600 "${PYTHON:-.venv/bin/python}" -m benchmarks.gpu --out "$folder" ${SIMULATE:+--simulate}
