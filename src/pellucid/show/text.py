"""Text: results as lines for a terminal.

table:       heads and rows -> columns as wide as they must be, numbers to the right
scores_text: scores of learn/metrics.py -> the confusion matrix, and each class's precision and recall
"""

from collections.abc import Sequence

from pellucid.learn.metrics import Scores


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lines of columns; a column of numbers, or of words that end in %, stands to the right.

    >>> print(table(["layer", "units"], [["conv1", 4], ["conv2", 16]]))
    layer  units
    conv1      4
    conv2     16
    """
    lines = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    right = [all(_is_number(row[column]) for row in rows) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def scores_text(scores: Scores, names: Sequence[str]) -> str:
    """What is taken for what, and how much of it rightly; a class without guesses, or without images, has a dash."""
    matrix = [[name, *row] for name, row in zip(names, scores.confusion.tolist(), strict=True)]
    counts = scores.confusion.sum(axis=1).tolist()
    shares = zip(scores.precision.tolist(), scores.recall.tolist(), strict=True)
    rows = [
        [name, count, *(f"{share:.2%}" if share >= 0 else "-" for share in both)]
        for name, count, both in zip(names, counts, shares, strict=True)
    ]
    return "\n".join(
        [
            "Rows are the truth, columns what the network says:",
            table(["", *names], matrix),
            "Precision is the share of right ones among those taken for a class, recall among those that are of it:",
            table(["class", "images", "precision", "recall"], rows),
        ]
    )


def _is_number(cell: object) -> bool:
    return isinstance(cell, int) or (isinstance(cell, str) and (cell.endswith("%") or cell == "-"))
