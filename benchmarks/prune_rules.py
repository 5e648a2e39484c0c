"""Which rule stops hopeless trials best: record whole searches once, replay every rule on them.

`python -m benchmarks.prune_rules replay` replays the searches that lie in benchmarks/searches;
`record --out FOLDER` records others, `replay --out FOLDER` replays these. `search` searches anew,
with two folds that rank and with one. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna

from benchmarks.figures import markdown
from benchmarks.prune_search import ROUNDS, Fits, search
from benchmarks.tree_tables import NAMES, TREES, TreeTable, chosen, complete, open_tree_table
from gpu.params import Family
from gpu.protocol import PruneRule
from gpu.worker.jobs import hopeless
from gpu.worker.metrics import r2_score
from gpu.worker.trainers import load_trainer
from steps.step5_training.families import SPECS
from steps.step5_training.finalists import finalist_count, ranking_folds
from steps.step5_training.pruning import prune_rule
from steps.step5_training.sampler import PastTrial, propose
from steps.step5_training.settings import TRIALS_PER_ASK as BATCH
from steps.step5_training.settings import Settings

ORDERS = 20
# R2 of searches of 20 trials x 5 folds, one list of folds a trial: <table>-<family>-<seed>.json.
SEARCHES = Path(__file__).parent / "searches"

Scores = Sequence[Sequence[float]]
# (recorded scores in the order of the search) -> folds fitted of each trial.
Rule = Callable[[Scores], list[int]]


@dataclass(frozen=True, slots=True)
class Replay:
    """One rule on one order of one search. lost: R2 of the best trial less that of the winner."""

    folds: int
    of: int
    lost: float


def record(table: TreeTable, family: Family, *, trials: int, seed: int) -> list[list[float]]:
    """R2 (n_trials, n_folds) of a search as the product does it, with every fold fitted."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trainer = load_trainer(family, "cpu", 1)
    space = SPECS[family].search_space(Settings(n_estimators=ROUNDS), table.fold_rows)
    scores: list[list[float]] = []
    history: list[PastTrial] = []
    while len(scores) < trials:
        batch = propose(history, space, seed=seed, count=BATCH)
        for values in batch:
            params = complete(family, values, rounds=ROUNDS, resolution=None)
            folds = []
            for index in range(len(table.splits.folds)):
                split = table.fold(index)
                fitted = trainer.fit(split, params, seed=seed + index, rounds=None)
                folds.append(r2_score(split.y_val, fitted.predict(split.X_val)))
            scores.append(folds)
            means = tuple(statistics.fmean(folds[: k + 1]) for k in range(len(folds)))
            history.append(PastTrial(values, means, complete=True))
    return scores


def ours(factor: float, fewest: int) -> Rule:
    """The product's rule: batches of trials, compared with the best complete one before them."""

    def fitted(scores: Scores) -> list[int]:
        done: list[int] = []
        complete: list[Sequence[float]] = []
        for start in range(0, len(scores), BATCH):
            rule = prune_rule(complete) if len(complete) >= fewest else None
            if rule is not None:
                rule = rule.model_copy(update={"factor": factor})
            batch = scores[start : start + BATCH]
            counts = [_until_hopeless(rule, trial) for trial in batch]
            done += counts
            pairs = zip(batch, counts, strict=True)
            complete += [trial for trial, count in pairs if count == len(trial)]
        return done

    return fitted


def with_finalists(scores: Scores, val_rows: int = 0) -> list[int]:
    """The product's search: first folds, hopeless trials after one of them, finalists on all.

    val_rows: of a fold; from some thousands on one fold ranks.
    """
    n_folds = len(scores[0])
    folds = ranking_folds(Settings(k_folds=n_folds), val_rows)
    done: list[int] = []
    ranked: list[Sequence[float]] = []
    for start in range(0, len(scores), BATCH):
        rule = prune_rule(ranked)
        batch = [trial[:folds] for trial in scores[start : start + BATCH]]
        counts = [_until_hopeless(rule, trial) for trial in batch]
        done += counts
        ranked += [trial for trial, count in zip(batch, counts, strict=True) if count == folds]
    whole = [i for i, count in enumerate(done) if count == folds]
    whole.sort(key=lambda i: -statistics.fmean(scores[i][:folds]))
    for i in whole[: finalist_count(len(scores))]:
        done[i] = n_folds
    return done


def _until_hopeless(rule: PruneRule | None, trial: Sequence[float]) -> int:
    for k in range(1, len(trial)):
        if rule is not None and hopeless(rule, list(trial[:k])):
            return k
    return len(trial)


def of_optuna(pruner: Callable[[], optuna.pruners.BasePruner], *, means: bool) -> Rule:
    """A pruner of Optuna's, trial after trial. means: it is told the mean over the folds so far."""

    def fitted(scores: Scores) -> list[int]:
        study = optuna.create_study(direction="maximize", pruner=pruner())
        done = []
        for trial_scores in scores:
            trial = study.ask()
            count = len(trial_scores)
            for k, score in enumerate(trial_scores):
                mean = statistics.fmean(trial_scores[: k + 1])
                trial.report(mean if means else score, k)
                if k + 1 < len(trial_scores) and trial.should_prune():
                    count = k + 1
                    break
            stopped = count < len(trial_scores)
            value = statistics.fmean(trial_scores[:count])
            state = optuna.trial.TrialState.PRUNED if stopped else None
            study.tell(trial, None if stopped else value, state=state)
            done.append(count)
        return done

    return fitted


RULES: dict[str, Rule] = {
    "every fold": lambda scores: [len(trial) for trial in scores],
    **{f"ours, {factor} sigma": ours(factor, 3) for factor in (1.0, 1.5, 1.75, 2.0)},
    "ours, 1.5 sigma, after 8 trials": ours(1.5, 8),
    "ours, 1.75 sigma, and finalists": with_finalists,
    "ours, finalists of one fold": lambda scores: with_finalists(scores, 1 << 20),
    **{
        f"Wilcoxon, p < {p}": of_optuna(
            lambda p=p: optuna.pruners.WilcoxonPruner(p_threshold=p), means=False
        )
        for p in (0.1, 0.2)
    },
    "median": of_optuna(optuna.pruners.MedianPruner, means=True),
}


def replay(rule: Rule, scores: Scores, order: Sequence[int]) -> Replay:
    """Stop trials as the rule says; the winner is the best of those that fitted every fold."""
    ordered = [scores[i] for i in order]
    counts = rule(ordered)
    means = [statistics.fmean(trial) for trial in ordered]
    pairs = zip(ordered, counts, means, strict=True)
    winner = max(mean for trial, count, mean in pairs if count == len(trial))
    return Replay(sum(counts), sum(len(trial) for trial in ordered), max(means) - winner)


def report(paths: Sequence[Path]) -> str:
    """A row for each rule, over all recorded searches and orders."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searches = [json.loads(path.read_text()) for path in paths]
    rows = []
    for name, rule in RULES.items():
        asked, shuffled = [], []
        for scores in searches:
            rng = np.random.default_rng(0)
            asked.append(replay(rule, scores, range(len(scores))))
            for _ in range(ORDERS):
                shuffled.append(replay(rule, scores, rng.permutation(len(scores)).tolist()))
        rows.append([name, *_figures(asked), *_figures(shuffled)])
    heads = ["rule", "folds fitted", "another winner", "most R2 lost"]
    return markdown([*heads, *(f"{head}, shuffled" for head in heads[1:])], rows)


def _figures(replays: Sequence[Replay]) -> list[str]:
    share = sum(r.folds for r in replays) / sum(r.of for r in replays)
    changed = sum(r.lost > 0 for r in replays)
    return [f"{share:.0%}", f"{changed} of {len(replays)}", f"{max(r.lost for r in replays):.4f}"]


def main() -> None:
    """Record, replay or search."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prune_rules", description=__doc__)
    parser.add_argument("what", choices=["record", "replay", "search"])
    parser.add_argument("--table", action="append", choices=NAMES, default=[])
    parser.add_argument("--families", nargs="+", choices=TREES, default=TREES)
    parser.add_argument("--rows", type=int, default=8000, help="at most, drawn at random")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=SEARCHES)
    args = parser.parse_args()
    if args.what == "replay":
        print(report(sorted(args.out.glob("*-*-*.json"))))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for name in chosen(args.table):
            table = open_tree_table(
                name, args.out, most_rows=args.rows, n_folds=args.folds, seed=seed
            )
            for family in args.families:
                if args.what == "search":
                    fits = Fits(table, family)
                    for folds in (2, 1):
                        found = search(
                            table, family, trials=args.trials, seed=seed, folds=folds, fits=fits
                        )
                        print(name, family, seed, folds, found, flush=True)
                    continue
                path = args.out / f"{name}-{family}-{seed}.json"
                if path.exists():
                    continue
                started = time.process_time()
                scores = record(table, family, trials=args.trials, seed=seed)
                path.write_text(json.dumps(scores))
                print(path.name, round(time.process_time() - started, 1), flush=True)


if __name__ == "__main__":
    main()
