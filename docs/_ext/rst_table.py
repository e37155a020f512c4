"""The source of a table, for directives that write what Sphinx then reads."""

from __future__ import annotations


def list_table(widths: str, *rows: tuple[str, ...]) -> str:
    """Return the source of a table, the first of *rows* its head.

    :param widths: Shares of the columns, as in ``"30 70"``.
    """
    head = f".. list-table::\n   :header-rows: 1\n   :widths: {widths}\n\n"
    return head + "\n".join("   * - " + "\n     - ".join(row) for row in rows)
