"""Candidates for the generator behind a history: what each one says of any draw, past or next.

Survivors are kept in a Parquet file with the columns of CandidateRecord; a state of many words is
one list.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from pydantic import TypeAdapter, ValidationError

from steps.errors import StepRefused
from steps.files import atomic_writer
from steps.forensics.documents import CandidateRecord
from steps.policies import validation_message
from steps.prng.base import Words
from steps.prng.generators import generator_named
from steps.prng.law import Law
from steps.prng.mappings import Draws, mapping_named
from steps.prng.recovery.found import ALPHA, Found

_SCHEMA = pa.schema(
    [
        ("stream", pa.string()),
        ("generator", pa.string()),
        ("mapping", pa.string()),
        ("modulus", pa.int64()),
        ("gap", pa.int64()),
        ("first", pa.int64()),
        ("stop", pa.int64()),
        ("matches", pa.int64()),
        ("compared", pa.int64()),
        ("missing", pa.int64()),
        ("log_ratio", pa.float64()),
        ("log_hypotheses", pa.float64()),
        ("origin", pa.string()),
        ("seeding", pa.string()),
        ("seed", pa.uint64()),
        ("offset", pa.int64()),
        ("state", pa.list_(pa.uint64())),
        ("seed_known", pa.bool_()),
        ("seed_chance", pa.float64()),
        ("seed_calls", pa.int64()),
        ("seen_bits", pa.int64()),
    ]
)

_RECORDS = TypeAdapter(list[CandidateRecord])


def proven(candidate: CandidateRecord) -> bool:
    """Whether the evidence is beyond chance, all that was tried in its search considered."""
    return candidate.score >= -float(np.log(ALPHA))


def candidate_of(found: Found, stream: str, start: int, *, by_seeds: bool) -> CandidateRecord:
    """A recovered state as a candidate of its stream. start: the stream's draw that was the
    search's draw 0.
    """
    seeded = found.seed is not None and found.offset is not None and found.first == 0 and start == 0
    return CandidateRecord(
        stream=stream,
        generator=found.generator,
        mapping=found.mapping,
        modulus=found.modulus,
        gap=found.gap,
        first=found.first + start,
        stop=found.stop + start,
        matches=found.matches,
        compared=found.compared,
        missing=found.missing,
        log_ratio=found.log_ratio,
        log_hypotheses=found.log_hypotheses,
        origin="seeds" if by_seeds else "algebra",
        seed=found.seed if seeded else None,
        seeding=found.seeding if seeded else None,
        offset=found.offset if seeded else None,
        state=found.state,
    )


def law_of(candidate: CandidateRecord) -> Law:
    """The candidate's law of position, with offset 0."""
    return Law(
        generator_named(candidate.generator),
        mapping_named(candidate.mapping),
        candidate.modulus,
        candidate.gap,
    )


def state_of(candidate: CandidateRecord) -> Words:
    """The state (1, state_words) from which draw `candidate.first` is read next."""
    if candidate.state is not None:
        return np.array([candidate.state], np.uint64)
    assert candidate.seed is not None  # noqa: S101
    assert candidate.seeding is not None  # noqa: S101
    law = Law(
        generator_named(candidate.generator),
        mapping_named(candidate.mapping),
        candidate.modulus,
        candidate.gap,
        candidate.offset or 0,
    )
    seeded = law.generator.seed(np.array([candidate.seed], np.uint64), candidate.seeding)
    return law.states_before(seeded, candidate.first)


def predicted(candidate: CandidateRecord, first: int, count: int) -> Draws:
    """What the candidate says draws first..first + count - 1 of its stream are, int64 (count,).

    first: at or after the end of what it explains, so that draws missing from the record are
    counted; or anything where none are missing.
    """
    ahead = first - candidate.first + (candidate.missing if first >= candidate.stop else 0)
    drawn: Draws = law_of(candidate).draws(state_of(candidate), count, first=ahead)[0]
    return drawn


def write_survivors(path: Path, candidates: Iterable[CandidateRecord]) -> int:
    """Write candidates to a Parquet file, atomically; returns how many."""
    rows = [candidate.model_dump() for candidate in candidates]
    with atomic_writer(path) as file:
        parquet.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), file)
    return len(rows)


def read_survivors(path: Path) -> list[CandidateRecord]:
    """Read candidates; raises StepRefused that names the file."""
    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StepRefused("bad_input", f"{path}: cannot be read: {error}") from error
    if not table.schema.equals(_SCHEMA):
        raise StepRefused(
            "bad_input", f"{path}: wanted the columns {', '.join(_SCHEMA.names)}, got other ones"
        )
    try:
        return _RECORDS.validate_python(table.to_pylist())
    except ValidationError as error:
        raise StepRefused("bad_input", f"{path}: {validation_message(error)}") from error
