"""Our JSON Schema and PyPI jsonschema must agree on generated cases."""
import os
import subprocess
import sys
from pathlib import Path


def test_schema__generated_cases_then_both_agree():
    tool = Path(os.environ["TEST_BUILD"]) / "tests" / "contract" / "schema_check_tool"
    script = Path(__file__).with_name("schema_differential.py")
    done = subprocess.run([sys.executable, str(script), "--tool", str(tool)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
