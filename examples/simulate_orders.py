"""Make a table of delivery orders by a simulation with a fixed seed; its noise is known.

    python examples/simulate_orders.py orders.csv            # minutes depend on the columns
    python examples/simulate_orders.py noise.csv --shuffle   # the same columns, minutes shuffled

The simulation adds Gaussian noise of NOISE_SD minutes, so the R2 that the best possible model can
reach is known; it is printed.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

ROWS = 4000
NOISE_SD = 4.0
VEHICLES = ("bike", "scooter", "car")
MINUTES_PER_KM = np.array([5.0, 2.6, 3.4])
DISTRICTS = tuple(f"district {letter}" for letter in "ABCDEFGHIJKL")


def simulate(rows: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Columns by name, the expected minutes of each order, and the minutes with noise."""
    rng = np.random.default_rng(seed)
    distance = rng.lognormal(1.0, 0.6, rows)
    items = rng.integers(1, 12, rows)
    hour = rng.uniform(8, 23, rows)
    day = rng.integers(0, 365, rows)
    vehicle = rng.integers(0, 3, rows)
    district = rng.integers(0, len(DISTRICTS), rows)
    rain = np.maximum(0, rng.normal(-1, 2, rows))
    rating = np.clip(rng.normal(4.3, 0.4, rows), 1, 5)
    delay = rng.normal(0, 3, len(DISTRICTS))[district]
    rush = 8 * np.exp(-0.5 * ((hour - 18.5) / 1.2) ** 2)
    expected = (
        8
        + MINUTES_PER_KM[vehicle] * distance
        + 0.7 * items
        + rush * (vehicle == 2) * 1.8
        + rain * (vehicle != 2) * 1.5
        + delay
        - 2 * (rating - 4.3)
    )
    ordered_at = (
        np.datetime64("2025-01-01T00:00")
        + day.astype("timedelta64[D]")
        + (hour * 60).astype("timedelta64[m]")
    )
    columns: dict[str, np.ndarray] = {
        "order_id": np.arange(1, rows + 1),
        "ordered_at": ordered_at,
        "distance_km": distance.round(2),
        "items": items,
        "vehicle": np.array(VEHICLES)[vehicle],
        "district": np.array(DISTRICTS)[district],
        "rain_mm": np.where(rng.random(rows) < 0.08, "", rain.round(1).astype(str)),
        "courier_rating": rating.round(2),
        "courier_is_new": np.where(rng.random(rows) < 0.2, "yes", "no"),
        "app_version": rng.integers(100, 120, rows),
    }
    return columns, expected, expected + rng.normal(0, NOISE_SD, rows)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seed", type=int, default=20250101)
    parser.add_argument("--shuffle", action="store_true", help="break every link to the target")
    parser.add_argument("--without-target", action="store_true", help="rows to be predicted")
    args = parser.parse_args()
    columns, expected, minutes = simulate(args.rows, args.seed)
    if args.shuffle:
        minutes = np.random.default_rng(args.seed).permutation(minutes)
        ceiling = 0.0
    else:
        ceiling = 1 - float(
            np.sum((minutes - expected) ** 2) / np.sum((minutes - minutes.mean()) ** 2)
        )
    if not args.without_target:
        columns["minutes"] = minutes.round(1)
    with args.path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    print(
        f"{args.path}: {args.rows} simulated orders (seed {args.seed}); "
        f"the best R2 that any model can reach is {ceiling:.3f}"
    )


if __name__ == "__main__":
    main()
