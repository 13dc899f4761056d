"""How Penstock's own tools start, record and end private servers; used by ops/up, ops/test and the tests."""
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RUN = ROOT / ".run"


class Problem(Exception):
    """Something the user can act on: one line that says what to do."""
