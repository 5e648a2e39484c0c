"""What --help says around the flags: what the command is for, and examples to copy."""

from __future__ import annotations

DESCRIPTION = """\
Run machine-learning pipelines unattended: numbered steps under time limits and a policy,
each attempt judged, retried or stopped, every decision kept. Step 5 trains and compares four
model families on one table and says honestly whether there is anything to predict.
"""

EXAMPLES = """\
examples:
  A new folder, and a look at the machine:
    watcher --init my_workspace && cd my_workspace && watcher --doctor

  Compare four families on a table of your own, 20 trials each (first see what it would do):
    watcher --run-pipeline --start-step 5 --end-step 5 --dry-run \\
        --params '{"survivors": "housing.csv", "target": "price", "trials": 20}'
    (the same line without --dry-run does it)

  How far is it, how did it end, and why (from another terminal too):
    watcher --status
    watcher --explain last
    watcher --serve      (in the browser, live)

  Stop it at the next safe point; go on later where it stopped:
    watcher --halt "the GPU is needed"
    watcher --clear-halt && watcher --run-pipeline --resume

  Read the report of the last run, in a browser or as text:
    watcher --report --open
    watcher --report --text > report.md

  Score new rows with the winner:
    watcher --predict new_rows.csv --output predictions.csv

  Make a draw history with a secret seed (--params as docs/draw-histories.md has them):
    watcher --simulate history.json --params '{"generator": "java", "count": 600}'

exit codes: 0 done; 1 a step failed; 2 usage, manifest or policy error; 10 halted or blocked by
policy; 11 waiting for approval; 12 no detectable signal, prediction refused; 124 time limit;
130 interrupted.
Results go to stdout, messages and progress to stderr.
"""
