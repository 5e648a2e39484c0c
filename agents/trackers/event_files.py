"""Write a run as TensorBoard event files, one folder a family: whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from agents.trackers.records import FamilyRecords, RunRecords

# A number that belongs to no round is the only point of its curve.
_ONLY_STEP = 0


class EventWriter(Protocol):
    """What event files are written with; TensorBoard's own writer behind it, or a test's."""

    def number(self, name: str, step: int, value: float, wall_time: float) -> None:
        """One point of a curve. wall_time: seconds since the epoch."""

    def text(self, name: str, markdown: str, wall_time: float) -> None:
        """A text."""

    def close(self) -> None:
        """Flush to the disk."""


def write_event_files(
    records: RunRecords, folder: Path, open_writer: Callable[[Path], EventWriter]
) -> None:
    """Write folder/RUN/FAMILY/; what an earlier copy of this run left there is replaced."""
    place, partial = folder / records.run_id, folder / f".{records.run_id}.partial"
    if partial.exists():  # of a copy that was cut off
        shutil.rmtree(partial)
    # The time of the results, not of the copying: two copies are the same.
    wall_time = records.created_at.timestamp()
    for family in records.families:
        writer = open_writer(partial / family.family)
        try:
            _write(writer, family, wall_time)
        finally:
            writer.close()
    partial.mkdir(parents=True, exist_ok=True)  # also where no family was trained
    if place.exists():
        shutil.rmtree(place)
    partial.rename(place)


def _write(writer: EventWriter, family: FamilyRecords, wall_time: float) -> None:
    for series in family.series:
        for step, value in zip(series.steps, series.values, strict=True):
            writer.number(series.name, step, value, wall_time)
    for name, value in family.numbers.items():
        writer.number(name, _ONLY_STEP, value, wall_time)
    for name, markdown in family.texts.items():
        writer.text(name, markdown, wall_time)


def tensorboard_writer(folder: Path) -> EventWriter:
    """TensorBoard's own writer; raises ImportError where it is not installed."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    text_metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(
            plugin_name="text", content=TextPluginData(version=0).SerializeToString()
        )
    )
    one = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])

    class Writer:
        def __init__(self) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = EventFileWriter(str(folder))

        def number(self, name: str, step: int, value: float, wall_time: float) -> None:
            self._add(Summary.Value(tag=name, simple_value=value), step, wall_time)

        def text(self, name: str, markdown: str, wall_time: float) -> None:
            content = markdown.encode("utf-8", "replace")
            tensor = TensorProto(dtype="DT_STRING", string_val=[content], tensor_shape=one)
            value = Summary.Value(tag=f"{name}/text_summary", metadata=text_metadata, tensor=tensor)
            self._add(value, _ONLY_STEP, wall_time)

        def close(self) -> None:
            self._file.close()

        def _add(self, value: Summary.Value, step: int, wall_time: float) -> None:
            event = Event(wall_time=wall_time, step=step, summary=Summary(value=[value]))
            self._file.add_event(event)

    return Writer()
