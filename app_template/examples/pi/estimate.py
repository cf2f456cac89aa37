"""The job: ``python estimate.py SEED DARTS`` writes /root/shared/results/pi.json in the container."""

import json
import random
import sys
from pathlib import Path


def estimate(seed: int, darts: int) -> float:
    """Four times the fraction of darts that hit the quarter circle."""
    source = random.Random(seed)  # noqa: S311 - darts, not secrets
    hits = sum(source.random() ** 2 + source.random() ** 2 < 1 for _ in range(darts))
    return 4 * hits / darts


if __name__ == "__main__":
    seed, darts = int(sys.argv[1]), int(sys.argv[2])
    results = Path(sys.argv[3] if len(sys.argv) > 3 else "/root/shared/results")
    record = {"seed": seed, "darts": darts, "pi": estimate(seed, darts)}
    (results / "pi.json").write_text(json.dumps(record) + "\n")
