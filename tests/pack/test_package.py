"""The Debian package: what it holds, what lintian says, and (--full) how it installs, runs and goes in a clean Debian 12."""
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from penstock_ops import ROOT
from penstock_ops.processes import clean_environment
from places import BUILD

DOC = "usr/share/doc/penstock"
LATER = "9.0.0"


def run(*words, **more) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def deb(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("deb")
    run("cmake", "--build", BUILD)
    run("cpack", "-G", "DEB", "-B", folder, cwd=BUILD)
    found = list(folder.glob("*.deb"))
    assert len(found) == 1, found
    return found[0]


@pytest.fixture(scope="module")
def unpacked(deb, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    run("dpkg-deb", "-R", deb, folder)
    return folder


def test_package__lintian_has_nothing_to_say(deb):
    said = run("lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", deb)
    assert said == ""


def test_package__holds_what_it_should_and_nothing_else(unpacked):
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if not path.is_dir()}
    units = {f"usr/lib/systemd/system/{unit.name}" for unit in (ROOT / "ops" / "systemd").iterdir()}
    guides = {f"{DOC}/{folder.name}/{page.name}" for folder in (ROOT / "docs" / "guides", ROOT / "ops" / "runbooks") for page in folder.iterdir()}
    examples = {f"{DOC}/examples/{name}" for name in ("haproxy.cfg", "redis.conf", "settings.conf", "stunnel-redis.conf")}
    examples |= {f"{DOC}/examples/handlers/{path.name}" for path in (ROOT / "jobs" / "custom" / "examples").iterdir()}
    examples |= {f"{DOC}/examples/{path.relative_to(ROOT / 'ops')}" for name in ("prometheus", "grafana", "keda")
                 for path in (ROOT / "ops" / name).rglob("*") if path.is_file()}
    shells = {"usr/share/bash-completion/completions/penstock", "usr/share/zsh/vendor-completions/_penstock",
              "usr/share/fish/vendor_completions.d/penstock.fish"}
    control = {f"DEBIAN/{name}" for name in ("conffiles", "control", "md5sums", "postinst", "postrm", "prerm")}
    pages = {f"{DOC}/{name}" for name in ("ARCHITECTURE.md", "CHANGELOG.md", "PROTOCOL.md", "README.md", "changelog.gz", "copyright")}
    assert files == {"etc/penstock/penstock.conf", "usr/bin/penstock", "usr/lib/sysusers.d/penstock.conf", "usr/lib/tmpfiles.d/penstock.conf",
                     "usr/share/man/man1/penstock.1.gz"} | units | guides | examples | control | pages | shells
    assert (unpacked / "DEBIAN" / "conffiles").read_text(encoding="ascii") == "/etc/penstock/penstock.conf\n"


def test_package__its_program_and_settings_agree(unpacked):
    program = unpacked / "usr" / "bin" / "penstock"
    version = run(program, "version", "-q").strip()
    assert f"Version: {version}\n" in (unpacked / "DEBIAN" / "control").read_text(encoding="utf-8")
    assert "ASAN" not in run("strings", "-n", "4", program).upper().split()
    settings = (unpacked / DOC / "examples" / "settings.conf").read_text(encoding="utf-8")
    assert settings == run(program, "config")
    assert run("zcat", unpacked / "usr/share/man/man1/penstock.1.gz") == run(program, "man")
    assert (unpacked / "usr/share/zsh/vendor-completions/_penstock").read_text(encoding="utf-8") == run(program, "completion", "zsh")


def test_package__the_shipped_settings_are_read(unpacked, tmp_path, stack):
    """Nothing misspelt: what fails is that there are no passwords here."""
    conf = unpacked / "etc" / "penstock" / "penstock.conf"
    done = subprocess.run([str(unpacked / "usr/bin/penstock"), "doctor"], env={**clean_environment(), "PENSTOCK_CONFIG": str(conf)},
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78 and "/etc/penstock/redis.password" in done.stdout, done.stdout + done.stderr


# ---- in a clean root ----

full = pytest.mark.skipif("TEST_FULL" not in os.environ or os.geteuid() != 0, reason="long, and root's: --full")


@pytest.fixture(scope="module")
def root(deb, tmp_path_factory):
    """Debian 12 by mmdebstrap from this machine's own apt sources, with the package and what it depends on."""
    folder = tmp_path_factory.mktemp("clean") / "root"
    sources = [*Path("/etc/apt/sources.list.d").glob("*.sources"), Path("/etc/apt/sources.list")]
    run("mmdebstrap", "--variant=minbase", f"--include={deb}", "--hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount", "bookworm",
        folder, next(path for path in sources if path.exists()))
    return folder


def inside(root: Path, *words) -> str:
    """With /proc of its own, which goes with the last process."""
    return run("unshare", "--mount", "--pid", "--fork", f"--mount-proc={root / 'proc'}", "chroot", root, *words)


@full
def test_clean_root__installed_and_nothing_runs_or_is_enabled(root):
    entry = inside(root, "getent", "passwd", "penstock").split(":")
    group = int(inside(root, "getent", "group", "penstock").split(":")[2])
    assert entry[6].strip().endswith("nologin")
    conf = root / "etc" / "penstock" / "penstock.conf"
    assert (stat.S_IMODE(conf.stat().st_mode), conf.stat().st_uid, conf.stat().st_gid) == (0o640, 0, group)
    assert stat.S_IMODE(conf.parent.stat().st_mode) == 0o750
    assert not list((root / "etc" / "systemd" / "system").rglob("penstock*"))
    units = [f"/usr/lib/systemd/system/{unit.name}" for unit in (ROOT / "ops" / "systemd").iterdir()]
    assert inside(root, "systemd-analyze", "verify", "--man=no", *units) == ""


@full
def test_clean_root__the_program_works_there_as_its_user(root, stack, tmp_path):
    """penstock doctor finds its servers with the libraries and time zones that the package brought."""
    folder = root / "etc" / "penstock"
    for name in ("redis", "postgres"):
        shutil.copy(stack.secrets.file(name), folder / f"{name}.password")
    text = stack.conf.read_text(encoding="utf-8")
    for name in ("redis", "postgres"):
        text = text.replace(str(stack.secrets.file(name)), f"/etc/penstock/{name}.password")
    (folder / "penstock.conf").write_text(text, encoding="utf-8")
    inside(root, "systemd-tmpfiles", "--create", "penstock.conf")
    said = inside(root, "setpriv", "--reuid=penstock", "--regid=penstock", "--init-groups", "env", "HOME=/", "PENSTOCK_CONFIG=/etc/penstock/penstock.conf",
               f"PENSTOCK_URL={stack.api.url}", "penstock", "doctor")
    assert "FAIL" not in said
    assert (root / "usr/share/zoneinfo/Europe/Berlin").exists()


@full
def test_clean_root__an_upgrade_keeps_changed_settings_and_a_purge_leaves_nothing(root, unpacked, tmp_path):
    conf = root / "etc" / "penstock" / "penstock.conf"
    mine = conf.read_text(encoding="utf-8") + "# mine\n"
    conf.write_text(mine, encoding="utf-8")
    control = unpacked / "DEBIAN" / "control"
    text = control.read_text(encoding="utf-8")
    later = tmp_path / "later"
    shutil.copytree(unpacked, later, symlinks=True)
    (later / "DEBIAN" / "control").write_text(text.replace(next(line for line in text.splitlines() if line.startswith("Version: ")), f"Version: {LATER}"),
                                              encoding="utf-8")
    run("dpkg-deb", "-b", "--root-owner-group", later, root / "later.deb")
    inside(root, "dpkg", "-i", "/later.deb")
    assert conf.read_text(encoding="utf-8") == mine and stat.S_IMODE(conf.stat().st_mode) == 0o640
    for name in ("redis", "postgres"):
        (conf.parent / f"{name}.password").unlink(missing_ok=True)
    inside(root, "dpkg", "--purge", "penstock")
    left = [path for path in root.rglob("*penstock*") if not path.is_relative_to(root / "proc") and path.suffix not in (".deb",)]
    assert left == [], left
