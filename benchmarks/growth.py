"""How the frame loop, gathering and training grow: benchmark.py --growth. What is measured from within is in
growth_parts.py.
"""

import json

from workbench import FEW_AND_ALL, PARTS, ROOT, WEIGHTS, Bench, part, run


def grow_loop(bench: Bench) -> dict:
    return {
        name: json.loads(run([PARTS, f"ours_{name}", bench.video, *bench.model], bench.folder)["lines"][-1])
        for name in ("faces", "sizes")
    }


def grow_gather(bench: Bench) -> dict:
    """Gathering one more video into a folder that holds so many crops."""
    rows = []
    for crops in (100, 1000, 5000, 20_000):
        folder = bench.dataset(crops) / "real"
        command = [ROOT / "gather_examples.py", "-i", bench.video, "-o", folder, "-d", WEIGHTS, "-s", 60]
        rows.append({"crops_there": crops // 2, "wall_s": run(command, bench.folder)["wall_s"]})
    return {"rows": rows}


def grow_train(bench: Bench) -> dict:
    rows = []
    for crops in (100, 1000, 5000, 20_000):
        # With many recordings an epoch is long enough to be told from little more.
        few, more = FEW_AND_ALL if crops <= 1000 else (2, 6)
        short, long = (part("ours_train", bench.folder, bench.dataset(crops), epochs) for epochs in (few, more))
        rows.append(
            {
                "crops": crops,
                "epoch_s": (long["fit_s"] - short["fit_s"]) / (more - few),
                "around_it_s": short["wall_s"] - short["fit_s"],
                "peak_mb": long["peak_mb"],
            }
        )
    return {"rows": rows}


GROWTH = {"loop": grow_loop, "gather": grow_gather, "train": grow_train}
