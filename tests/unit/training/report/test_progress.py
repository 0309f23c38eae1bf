"""The figure of a training run."""

from training.report.progress import draw_history


def test_every_measure_of_the_history_has_its_line() -> None:
    """Losses share a panel, areas another, the learning rate a third; a change of size is marked in each."""
    history = [
        {"epoch": 1.0, "size": 80.0, "loss": 0.7, "validation_loss": 0.6, "validation_auc": 0.8, "learning_rate": 1e-3},
        {"epoch": 2.0, "size": 80.0, "loss": 0.5, "validation_loss": 0.5, "validation_auc": 0.9, "learning_rate": 1e-4},
        {"epoch": 3.0, "size": 112.0, "loss": 0.4, "validation_loss": 0.5, "validation_auc": 0.9, "learning_rate": 0.0},
    ]
    panels = draw_history(history).axes
    assert [panel.get_ylabel() for panel in panels] == ["loss", "AUC", "learning rate"]
    lines = [[list(line.get_ydata()) for line in panel.lines] for panel in panels]
    assert lines[0][:2] == [[0.7, 0.5, 0.4], [0.6, 0.5, 0.5]]
    assert [len(of_panel) for of_panel in lines] == [3, 2, 2]  # the last of each marks the size
    assert [text.get_text() for text in panels[0].texts] == ["80 px", "112 px"]


def test_what_the_history_has_not_is_not_drawn() -> None:
    """One epoch with a loss alone is one panel."""
    (panel,) = draw_history([{"epoch": 1.0, "loss": 0.7}]).axes
    assert panel.get_ylabel() == "loss"


def test_a_long_run_is_drawn_without_markers() -> None:
    """Fifty points would be a caterpillar."""
    long = [{"epoch": float(epoch), "loss": 1 / epoch} for epoch in range(1, 51)]
    (panel,) = draw_history(long).axes
    assert panel.lines[0].get_marker() in ("", "None")
