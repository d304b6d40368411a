"""The documentation as a site: Sphinx builds it from docs/; the product serves it at /docs/ while no source is newer."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from research_app.home import CODE

SOURCES = CODE / "docs"
SITE = SOURCES / "_build" / "html"
LEAVES_OUT = ("_sources", "objects.inv", ".buildinfo", ".doctrees")  # nobody asks the product for these


class BadDocuments(Exception):
    """The documents do not make a site: the message has what Sphinx says."""


def build(site: Path = SITE) -> None:
    """Build the whole site anew; what was there stays until that is done. Raises BadDocuments, with every warning."""
    fresh = site.with_name(f"{site.name}-new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    strict = ("--fail-on-warning", "--keep-going", "--quiet", "--no-color", "--fresh-env")
    command = [sys.executable, "-m", "sphinx", *strict, "--doctree-dir", str(fresh / ".doctrees"), str(SOURCES), str(fresh)]
    done = subprocess.run(command, cwd=CODE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BadDocuments(done.stderr or done.stdout)
    for path in (fresh / name for name in LEAVES_OUT):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.rmtree(site, ignore_errors=True)
    fresh.rename(site)


def is_fresh(site: Path = SITE) -> bool:
    """Whether the site was built, and from what the sources hold now."""
    index = site / "searchindex.js"
    return index.is_file() and index.stat().st_mtime >= max(path.stat().st_mtime for path in sources())


def sources() -> Iterator[Path]:
    """Every file that the site is made from."""
    yield SOURCES / "conf.py"
    for path in SOURCES.rglob("*"):
        if path.suffix in (".md", ".png", ".svg", ".html", ".css", ".toml") and "_build" not in path.parts:
            yield path


def served(site: Path = SITE) -> set[str]:
    """The files of the site, as paths in it."""
    return {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
