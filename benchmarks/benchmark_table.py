"""What benchmark.py has measured, for people: ours, the original's and the ratio in columns."""

from pathlib import Path


def show_head(result: dict) -> None:
    m, v = result["machine"], result["video"]
    print(f"{m['processor']}, {m['cores']} cores, {m['system']}, Python {m['python']}, OpenCV {m['opencv']}")
    print(f"{Path(v['name']).name}: {v['frames']} frames of {v['width']}x{v['height']}\n")
    print(f"{'':36}{'ours':>10}{'original':>10}{'ratio':>8}")


def show(section: str, r: dict) -> None:
    if section in SHOW and "rows" not in r and "faces" not in r:
        SHOW[section](r)
    else:
        for name, rows in r.items():
            table(f"{section}: {name}", rows)
    print(flush=True)


def row(
    what: str, ours: float | None, original: float | None = None, ratio: float | None = None, digits: int = 1
) -> None:
    cells = ["" if value is None else f"{value:.{digits}f}" for value in (ours, original)]
    print(f"{what:36}{cells[0]:>10}{cells[1]:>10}{'' if ratio is None else f'{ratio:.1f}x':>8}")


def table(title: str, rows: list[dict]) -> None:
    print(title)
    print("".join(f"{key:>20}" for key in rows[0]))
    for values in rows:
        print("".join(f"{value:>20}" if isinstance(value, int) else f"{value:>20.2f}" for value in values.values()))


def show_loop(r: dict) -> None:
    ours, original = r["ours"], r["original"]
    row("decision loop, frames/s", ours["fps"], original["fps"], r["ratio"])
    row(
        "  CPU s per minute at 30 frames/s",
        ours["cpu_s_per_minute"],
        original["cpu_s_per_minute"],
        original["cpu_s_per_minute"] / ours["cpu_s_per_minute"],
    )
    for stage, spent in r["stages_ms"].items():
        row(f"    {stage}, ms{' (where it is shown)' if stage == 'draw' else ''}", spent, digits=2)


def show_start(r: dict) -> None:
    row("start to first verdict, s", r["ours_s"], r["original_s"], r["ratio"], digits=2)
    row("    a bare script on these frames, s", r["bare_s"], r["original_s"], r["original_s"] / r["bare_s"], digits=2)
    names = {
        "python": "Python itself",
        "numpy": "+ NumPy",
        "opencv": "+ OpenCV",
        "modules": "+ our modules",
        "ours": "+ open all, look until sure",
    }
    for step, spent in r["where_ms"].items():
        row(f"    {names[step]}, ms", spent, digits=0)
    slowest = ", ".join(f"{name} {spent:.0f}" for name, spent in r["imports_ms"].items())
    print(f"    slowest imports (-X importtime), ms: {slowest}")


def show_memory(r: dict) -> None:
    row("peak memory, MB", r["ours_mb"], r["original_mb"], r["ratio"], digits=0)
    row("    of it Python, NumPy and OpenCV", r["opencv_mb"], digits=0)


def show_gather(r: dict) -> None:
    row(f"gather --skip {r['skip']}, frames/s", r["fps"])
    row("  crops/s", r["crops_per_s"])
    for stage, spent in r["stages_ms"].items():
        row(f"    {stage}, ms a crop", spent, digits=2)
    row("  share of the PNG encoder, %", 100 * r["png_share"], digits=0)


def show_train(r: dict) -> None:
    ours, original = r["ours"], r["original"]
    row(
        f"train on {r['crops']} crops, s an epoch",
        ours["epoch_s"],
        original["epoch_s"],
        original["epoch_s"] / ours["epoch_s"],
        digits=2,
    )
    row("  start to finish, 50 epochs, s", ours["fifty_epochs_s"], original["fifty_epochs_s"], r["ratio"])
    row("  augmentation's share of the CPU, %", 100 * ours["augmentation_share"], digits=0)


def show_owner(r: dict) -> None:
    print(f"{'':36}{'--owner':>10}{'without':>10}")
    for what, key, digits in (
        ("start to first verdict, s", "start_s", 2),
        ("decision loop, frames/s", "fps", 1),
        ("  CPU s per minute at 30 frames/s", "cpu_s_per_minute", 1),
        ("peak memory of the loop, MB", "peak_mb", 0),
    ):
        row(what, r["owner"][key], r["anybody"][key], r["owner"][key] / r["anybody"][key], digits)


SHOW = {
    "loop": show_loop,
    "start": show_start,
    "memory": show_memory,
    "gather": show_gather,
    "train": show_train,
    "owner": show_owner,
}
