"""What was measured, as a table and as JSON."""
import json
import math
from pathlib import Path

from .rows import Figures


def number(v: float | None) -> str:
    if v is None:
        return "-"
    if not math.isfinite(v):
        return "never"
    return f"{v:,.0f}" if abs(v) >= 100 or v == int(v) else f"{v:.3g}"


def verdict(f: Figures) -> str:
    if f.row.target is None:
        return ""
    if f.meets(f.row.floor) is False:
        return "BELOW THE FLOOR"
    if f.meets(f.row.target):
        return "target met"
    return "floor met" if f.row.floor else "target missed"


def limits(f: Figures) -> str:
    floor = f", floor {f.row.floor.limit:g}" if f.row.floor else ""
    return f"{f.row.target}{floor}" if f.row.target else "-"


def table(figures: list[Figures]) -> str:
    rows = [("row", "median [min..max]", "unit", "reference", "ratio [min..max]", "target", "", "what")]
    for f in figures:
        values, ratios = f.values(), f.ratios()
        ratio = f"{f.ratio():.2f} [{min(ratios):.2f}..{max(ratios):.2f}]" if ratios else "-"
        rows.append((f.row.name, f"{number(f.value())} [{number(min(values))}..{number(max(values))}]", f.row.unit,
                     number(f.reference()), ratio, limits(f), verdict(f), f.row.what))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows)


def finite(v: float | None) -> float | None:
    return round(v, 4) if v is not None and math.isfinite(v) else None


def as_json(f: Figures) -> dict:
    return {
        "name": f.row.name, "what": f.row.what, "value": finite(f.value()), "min": finite(min(f.values())), "max": finite(max(f.values())),
        "unit": f.row.unit, "reference": finite(f.reference()), "ratio": finite(f.ratio()), "rounds": len(f.samples),
        "target": str(f.row.target) if f.row.target else None, "floor": str(f.row.floor) if f.row.floor else None,
        "met": f.meets(f.row.target), "met_floor": f.meets(f.row.floor),
    }


def write_json(path: Path, figures: list[Figures]) -> None:
    path.write_text(json.dumps([as_json(f) for f in figures], indent=1) + "\n", encoding="utf-8")
