"""What a run directory is configured with: generated secrets, and penstock.conf in libconfig's syntax."""
import base64
import os
import secrets
from pathlib import Path


class Secrets:
    """One generated secret per file in <dir>/secrets, readable by its owner alone."""

    def __init__(self, run_dir: Path):
        self.dir = Path(run_dir).resolve() / "secrets"
        self.dir.mkdir(parents=True, exist_ok=True)
        self.dir.chmod(0o700)

    def file(self, name: str) -> Path:
        path = self.dir / name
        if not path.exists():
            value = secrets.token_hex(24)
            if name == "webhook":
                value = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
            write_private(path, value + "\n")
        return path

    def value(self, name: str) -> str:
        return self.file(name).read_text(encoding="ascii").strip()


def write_private(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as f:
        f.write(text)
    fresh.rename(path)


def _literal(value: str | int) -> str:
    if isinstance(value, int):
        return str(value) if abs(value) < 2**31 else f"{value}L"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_conf(path: Path, settings: dict[str, str | int]) -> None:
    """settings by "group.name", as in base/conf.def."""
    groups: dict[str, list[str]] = {}
    for key, value in settings.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, []).append(f"  {name} = {_literal(value)};\n")
    write_private(path, "\n".join(f"{group} = {{\n{''.join(lines)}}};\n" for group, lines in groups.items()))
