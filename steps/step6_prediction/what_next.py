"""What a person may do after a verdict."""

from __future__ import annotations

from steps.forensics.documents import PREDICTION_FILE, Prediction
from steps.step6_prediction.evidence import Evidence, find
from steps.step6_prediction.report import REPORT_FILE
from steps.step6_prediction.stretches import ended_advice


def what_next(evidence: Evidence, prediction: Prediction) -> tuple[str, ...]:
    """Suggestions, the first one first."""
    read = f"the evidence, test by test: {REPORT_FILE}"
    match find(evidence):
        case "goes on":
            return (f"hold the next draws against {PREDICTION_FILE} as they are made", read)
        case "ended":
            advice = ended_advice(evidence.states, evidence.known, evidence.window)
            return (*advice, read)
        case "not uniform":
            return (
                "see that the record and the range of the game (draw_min, draw_max) are right: "
                "wrong ones look the same",
                "for an audit: the machine as recorded does not draw uniformly and independently, "
                "whatever the cause; that no generator was found does not speak for it",
                read,
            )
        case "too few draws" | "better than chance" | "chance":
            if prediction.draws_wanted is None:
                more = "more draws catch more: run steps 0 to 6 again when there are many more"
            else:
                more = f"run steps 0 to 6 again with {prediction.draws_wanted} draws or more"
            return (more, read)
