"""Write a simulated draw history, and beside it the truth that its records do not say.

    python -m steps.prng.simulate history.json --scenario '{"generator": "java", "count": 600}'

writes history.json (or .csv, .parquet) and history.json.truth.json. See docs/draw-histories.md.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from steps.files import atomic_writer, sha256_file, write_text_atomic
from steps.prng.simulate_history import (
    Entropy,
    PseudoMachine,
    Record,
    Scenario,
    Truth,
    simulate_history,
)
from steps.prng.simulate_wish import Wish, WishError, machine_words, read_wish
from steps.strict_json import parse_object, read_text

TRUTH_SUFFIX = ".truth.json"
_DONE, _FAILED, _USAGE = 0, 1, 2


class TruthFile(Truth):
    """The truth about a history's file. history: its name; sha256: of its content.

    noise_seed: makes the same scenario go wrong in the same places again.
    """

    schema_version: Literal[1] = 1
    history: str
    sha256: str
    noise_seed: int = Field(ge=0, lt=1 << 64)


@dataclass(frozen=True, slots=True)
class Simulated:
    """Files that were written: the history, and its truth."""

    path: Path
    truth_path: Path
    truth: TruthFile
    secret: bool

    def document(self) -> dict[str, Any]:
        """What was made, for programs; seeds stand in the truth alone."""
        return {
            "status": "ok",
            "exit_code": _DONE,
            "file": str(self.path),
            "truth": str(self.truth_path),
            "rows": self.truth.scenario.count,
            "modulus": self.truth.scenario.modulus,
            "draws_made": self.truth.draws_made,
            "missing": len(self.truth.missing),
            "corrupted": len(self.truth.corrupted),
            "next_draws": len(self.truth.next_draws),
            "secret_seed": self.secret,
            "sha256": self.truth.sha256,
            "made": scenario_words(self.truth.scenario),
        }


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns 0, 2 for a scenario or file name that cannot be, 1 for a disk fault."""
    parser = argparse.ArgumentParser(
        prog="python -m steps.prng.simulate",
        description="Write a draw history with known truth: FILE, and FILE.truth.json beside it.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="ends in .json, .csv or .parquet")
    parser.add_argument(
        "--scenario",
        required=True,
        metavar="JSON",
        help="what to make: a JSON object, @FILE that holds one, or - for standard input",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace a file that was not simulated here, too"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    flags = parser.parse_args(argv)
    try:
        wish = read_wish(_asked(flags.scenario), os.urandom)
        made = simulate_file(flags.file, wish, force=flags.force)
    except WishError as error:
        return _refused(str(error), _USAGE, as_json=flags.json)
    except OSError as error:
        return _refused(f"{flags.file}: cannot be written: {error}", _FAILED, as_json=flags.json)
    document = made.document()
    if flags.json:
        print(json.dumps(document, ensure_ascii=False))
    else:
        print(f"{document['file']}: {document['made']}\nthe truth: {document['truth']}")
    return _DONE


def simulate_file(
    path: Path, wish: Wish, *, force: bool = False, entropy: Entropy = os.urandom
) -> Simulated:
    """Write the history and its truth, each in one step.

    Raises WishError where the name has another ending, or a file stands there that is no unchanged
    simulated history (force: replaced all the same); OSError from the disk.
    """
    path = path.absolute()
    truth_path = path.with_name(path.name + TRUTH_SUFFIX)
    write = _writer(path)
    _check_place(path, truth_path, force=force)
    made = simulate_history(wish.scenario, np.random.default_rng(wish.noise_seed), entropy)
    content = io.BytesIO()
    write(content, made.records)
    truth = TruthFile(
        **dict(made.truth),
        history=path.name,
        sha256=hashlib.sha256(content.getbuffer()).hexdigest(),
        noise_seed=wish.noise_seed,
    )
    # First, so that no history stands there whose seed nobody knows.
    write_text_atomic(truth_path, truth.model_dump_json(indent=1) + "\n")
    with atomic_writer(path) as file:
        file.write(content.getbuffer())
    return Simulated(path, truth_path, truth, wish.secret)


def scenario_words(scenario: Scenario) -> str:
    """What was made, in a sentence without seeds."""
    machines = " and ".join(machine_words(machine) for machine in scenario.machines)
    parts = [f"{scenario.count:,} draws of 0 to {scenario.modulus - 1} from {machines}"]
    if len(scenario.machines) > 1:
        if scenario.mixing == "sessions":
            parts.append("taking turns by session")
        else:
            parts.append(f"the second making {scenario.second_share:.0%} of them at random")
    if scenario.reseed_every and any(isinstance(m, PseudoMachine) for m in scenario.machines):
        parts.append(f"seeded anew every {scenario.reseed_every:,} draws")
    if scenario.corruption_rate:
        parts.append(f"{scenario.corruption_rate:.1%} of them replaced by wrong ones")
    if scenario.missing_rate:
        parts.append(f"{scenario.missing_rate:.1%} of what was made missing")
    return ", ".join(parts)


def _asked(text: str) -> dict[str, Any]:
    if text == "-":
        return parse_object(sys.stdin.read(), "standard input", WishError)
    if text.startswith("@"):
        path = Path(text[1:])
        return parse_object(read_text(path, WishError), str(path), WishError)
    return parse_object(text, "--scenario", WishError)


def _refused(message: str, code: int, *, as_json: bool) -> int:
    print(message, file=sys.stderr)
    if as_json:
        error = {"status": "error", "exit_code": code, "message": message}
        print(json.dumps(error, ensure_ascii=False))
    return code


_HINT = "; choose another name, or --force to replace it"


def _check_place(path: Path, truth_path: Path, *, force: bool) -> None:
    """Raise WishError where writing would replace what was not made here."""
    for each in (path, truth_path):
        if each.is_dir():
            raise WishError(f"{each}: must be a file, got a folder")
    if force:
        return
    truth = _read_truth(truth_path)
    if truth is None and os.path.lexists(truth_path):
        raise WishError(f"{truth_path}: exists and is no truth of a simulated history{_HINT}")
    if os.path.lexists(path) and (truth is None or truth.sha256 != sha256_file(path)):
        raise WishError(f"{path}: exists and is no simulated history, or was changed{_HINT}")


def _read_truth(path: Path) -> TruthFile | None:
    try:
        return TruthFile.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _writer(path: Path) -> Callable[[IO[bytes], Sequence[Record]], None]:
    """The writer (file, records) for a name; raises WishError for another ending."""
    writers = {".json": _write_json, ".csv": _write_csv, ".parquet": _write_parquet}
    write = writers.get(path.suffix.lower())
    if write is None:
        raise WishError(f"{path}: must end in {', '.join(writers)}, got {path.suffix!r}")
    if path.name.endswith(TRUTH_SUFFIX):
        raise WishError(f"{path}: must not end in {TRUTH_SUFFIX}, where the truth about it goes")
    return write


def _write_json(file: IO[bytes], records: Sequence[Record]) -> None:
    lines = ",".join(f"\n{json.dumps(record, ensure_ascii=False)}" for record in records)
    file.write(f"[{lines}\n]\n".encode())


def _write_csv(file: IO[bytes], records: Sequence[Record]) -> None:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(Record.__annotations__)
    rows.writerows(record.values() for record in records)
    file.write(text.getvalue().encode())


def _write_parquet(file: IO[bytes], records: Sequence[Record]) -> None:
    # Half a second of start-up that the other formats need not pay for.
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(list(records)), file)


if __name__ == "__main__":
    sys.exit(main())
