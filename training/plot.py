"""plot.png: how training went, and how far apart the held-out classes lie."""

from pathlib import Path

import numpy as np

from storage.beside import beside
from training.evaluation import Rate


def plot(
    path: Path, history: dict, scores: np.ndarray, is_real: np.ndarray, rates: dict[str, Rate], meaning: str
) -> None:
    """Draw the original's four curves and, beside them, the scores of the held-out crops.

    history: see fitting.CURVES. scores: float (N,), p_real. is_real: bool (N,). rates: by name. meaning: what was held
    out. Raises OSError.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.style.use("ggplot")
    figure, (curves, spread) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    _draw_curves(curves, history)
    _draw_spread(spread, scores, is_real, rates, meaning)
    try:
        with beside(path) as part:
            # The format by the name that was asked for, not by the part's.
            known = path.suffix[1:].lower() in figure.canvas.get_supported_filetypes()
            figure.savefig(part, dpi=110, format=path.suffix[1:].lower() if known else "png")
    finally:
        plt.close(figure)


def _draw_curves(axes, history: dict) -> None:
    epochs = np.arange(1, len(history["loss"]) + 1)
    for name, label in (
        ("loss", "train_loss"),
        ("val_loss", "val_loss"),
        ("accuracy", "train_acc"),
        ("val_accuracy", "val_acc"),
    ):
        axes.plot(epochs, history[name], label=label, marker="." if len(epochs) < 3 else None)
    axes.set_title("LivenessNet: training loss and accuracy", fontsize=10)
    axes.set(xlabel="epoch", ylabel="loss / accuracy", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    _legend_below(axes)


def _draw_spread(axes, scores: np.ndarray, is_real: np.ndarray, rates: dict[str, Rate], meaning: str) -> None:
    bins = np.linspace(0, 1, 41)
    for name, chosen, colour in (("fake", ~is_real, "#c0392b"), ("real", is_real, "#27ae60")):
        share = np.full(chosen.sum(), 100 / chosen.sum())
        label = f"{name}, {chosen.sum()} " + ("crop" if chosen.sum() == 1 else "crops")
        axes.hist(scores[chosen], bins, weights=share, alpha=0.65, color=colour, label=label)
    axes.axvline(0.5, color="#333333", linestyle="--", label="operating point")
    words = [f"{name} {rate}" for name, rate in rates.items()]
    axes.set(xlabel="p_real", ylabel="share of the class, %", xlim=(0, 1))
    axes.set_title(
        f"Held-out scores: {meaning}, with 95 % intervals\n" + "   ".join(words[:2]) + "\n" + "   ".join(words[2:]),
        fontsize=10,
    )
    _legend_below(axes)


def _legend_below(axes) -> None:
    """Curves and bars may lie anywhere inside."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4)
