"""What a plan is made of: subject and scope go in, planned searches come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from steps.forensics.documents import Segment
from steps.step1_window.efforts import Effort

# Before the name of a stream: read from its last draw to the first.
BACKWARD = "backward "


@dataclass(frozen=True, slots=True)
class Planned:
    """One search. first, stop: the draws of the stream that it is given.

    starts: as in Question. seeding, seeds, offsets: of a search of seeds. left_out: why it is not
    made at this effort, None where it is.
    """

    stream: str
    first: int
    stop: int
    generator: str
    mapping: str
    method: Literal["algebra", "seeds"]
    gaps: range
    corruption: float = 0.0
    missing_rate: float = 0.0
    starts: int | None = None
    seeding: str | None = None
    seeds: range = range(0)
    offsets: tuple[int, ...] = (0,)
    left_out: str | None = None

    @property
    def words(self) -> str:
        """For progress and reports: "java next_int, gaps 0..100"."""
        last = self.gaps[-1]
        gaps = f"gaps 0..{last}" if self.gaps.start == 0 and last else f"gap {last}"
        seeds = f", {len(self.seeds):,} seeds" if self.method == "seeds" else ""
        return f"{self.generator} {self.mapping}, {gaps}{seeds}"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is searched. streams: name and number of draws to learn from, "all" first.

    segments: of stream "all", empty where the machine did not change. first_date: of draw 0, as
    ISO text. in_order: whether dates say which draws are the earlier ones.
    """

    modulus: int
    streams: tuple[tuple[str, int], ...]
    segments: tuple[Segment, ...] = ()
    first_date: str | None = None
    in_order: bool = True


@dataclass(frozen=True, slots=True)
class Scope:
    """What is searched for. pairs: generators and mappings that can make such draws.

    max_gap: largest gap of every search, whatever the effort; None: the effort's own. alpha: about
    what one search may spend.
    """

    effort: Effort
    pairs: tuple[tuple[str, str], ...]
    max_gap: int | None
    corruption: float
    missing_rate: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a stream, and its share of the effort."""

    stream: str
    first: int
    stop: int
    share: float
