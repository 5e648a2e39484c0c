#!/bin/sh
# The main jobs on data that this script makes itself.
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
check=$(cd "$here" && pwd)/check_prediction.py

cd "$workspace"
say "1. Compare four model families on the orders"
run watcher --run-pipeline --start-step 5 --end-step 5 \
    --params '{"survivors": "orders.csv", "target": "minutes", "compare_models": true, "trials": 5}'

say "2. Score five new orders with the winner"
run watcher --predict new_orders.csv --output predictions.csv
cat predictions.csv

say "3. A draw machine that is a java.util.Random with a secret seed: find it and foretell its draws"
mkdir secret
run watcher --simulate secret/history.json --params '{"generator": "java", "seed_bits": 48, "count": 600}'
run watcher --workspace secret --run-pipeline --start-step 0 --end-step 6 \
    --params '{"draw_history": "history.json", "effort": "quick", "trials": 2}'
say "What the simulation drew next, which nobody but its truth file knew"
python "$check" secret/predictions/next_draw_prediction.json secret/history.json.truth.json

say "4. A history of true randomness: there is nothing to find, and it says so (exit status 12)"
mkdir fair
run watcher --simulate fair/history.json --params '{"generator": "true", "count": 600}'
status=0
run watcher --workspace fair --run-pipeline --start-step 0 --end-step 6 \
    --params '{"draw_history": "history.json", "effort": "quick", "trials": 2}' || status=$?
[ "$status" -eq 12 ]

say "Done. In $workspace: the winner in models/reinforcement, the comparison in
diagnostics_outputs/training_diagnostics.json, the scored orders in predictions.csv; what was found
in the draws in secret/predictions/ and fair/predictions/."
