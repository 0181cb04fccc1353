"""What an error says, also one whose own text cannot be made."""

from __future__ import annotations


def error_text(error: BaseException) -> str:
    """`str(error)`; where that raises, a sentence that says so: how code ended must be told whatever it raised."""
    try:
        return str(error)
    # any code of the error's class may run here
    except Exception as e:  # noqa: BLE001
        return f"its text could not be made ({type(e).__name__})"


def has_text(error: BaseException) -> bool:
    """Whether `str(error)` can be made, as whoever keeps it takes for granted."""
    try:
        str(error)
    # as above
    except Exception:  # noqa: BLE001
        return False
    return True
