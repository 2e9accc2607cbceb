"""
Who was up when? Drawn from what the gateway tells of its swaps.
"""

from __future__ import annotations

from typing import Any


def timeline(state: Any, began: float, seconds: float, step_s: float = 1.0) -> str:
    """
    A line for each model, a column for each step: `-` loads, `#` is up, `~` goes.

    :param began: where it starts, in seconds of the epoch.
    """
    columns = round(seconds / step_s)
    rows = {model["name"]: [" "] * columns for model in state["models"]}

    def draw(name: str, start: float, end: float, sign: str) -> None:
        first, last = round((start - began) / step_s), round((end - began) / step_s)
        for column in range(max(first, 0), min(max(last, first + 1), columns)):
            rows[name][column] = sign

    up_since: dict[str, float] = {}
    for swap in state["swaps"]:
        name, start = swap["model"], swap["began"]
        end = state["at"] if swap["duration_s"] is None else start + swap["duration_s"]
        if swap["what"] == "load":
            draw(name, start, end, "-")
            up_since[name] = end
        else:
            draw(name, up_since.pop(name, began), start, "#")
            draw(name, start, end, "~")
    for name, since in up_since.items():
        draw(name, since, state["at"], "#")
    return "\n".join(f"    {name} |{''.join(signs)}|" for name, signs in rows.items())
