#!/bin/sh
# The main job on tables that this script makes itself, by a simulation with a fixed seed.
set -eu
here=$(dirname "$0")
workspace=$1

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -z "${NO_COLOR-}" ] && [ -t 1 ] || say() { printf '\n%s\n' "$*"; }
run() { say "\$ $*"; "$@"; }

rm -rf "$workspace"
say "A workspace, and a table of simulated delivery orders in it"
watcher --init "$workspace"
python "$here/simulate_orders.py" "$workspace/orders.csv"
python "$here/simulate_orders.py" "$workspace/new_orders.csv" --rows 5 --seed 7 --without-target
python "$here/simulate_orders.py" "$workspace/noise.csv" --rows 2000 --shuffle

cd "$workspace"
say "1. Compare four model families on the orders"
run watcher --run-pipeline --start-step 5 --end-step 5 \
    --params '{"survivors": "orders.csv", "target": "minutes", "compare_models": true, "trials": 8}'

say "2. Score five new orders with the winner"
run watcher --predict new_orders.csv --output predictions.csv
cat predictions.csv

say "3. The same columns with the minutes shuffled: there is nothing to find, and it says so"
mkdir -p noise
run watcher --workspace noise --run-pipeline --start-step 5 --end-step 5 \
    --params '{"survivors": "../noise.csv", "target": "minutes", "compare_models": true, "trials": 4}'

say "Done. In $workspace: the winner in models/reinforcement, the comparison in
diagnostics_outputs/training_diagnostics.json, the scored orders in predictions.csv."
