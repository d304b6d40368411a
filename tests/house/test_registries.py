"""A registry reads its folder; a module that cannot be used is named with its file, and so are two of one name."""

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db.models import F

from research_app.histories.export import FORMATS
from research_app.loop.propose.registered import PROPOSERS, default_proposers
from research_app.web.candidates.columns import Column, Order
from tests.installation import Installation
from training.budget_kind import BUDGETS
from training.metric_source import SOURCES, printing, writing
from training.registry import BrokenVariant, Registry, UnknownVariant

GOOD = "from tests.house.test_registries import Dish\nDISH = Dish('{}')\n"
Written = Callable[..., "Registry[Dish]"]


@dataclass(frozen=True)
class Dish:
    """Something to choose from."""

    name: str
    order: int = 100


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """A registry over a folder with these modules."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**modules: str) -> "Registry[Dish]":
        (tmp_path / "kitchen").mkdir()
        (tmp_path / "kitchen" / "__init__.py").touch()
        for name, text in modules.items():
            (tmp_path / "kitchen" / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return Registry("dish", "kitchen", "DISH", Dish)

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "kitchen"]:
        del sys.modules[name]


def test_a_file_is_all_that_it_takes(written: Written) -> None:
    soup = GOOD.format("soup")
    registry = written(stew=GOOD.format("stew"), soup=soup, _stove="HOT = True", bread=soup.replace("'soup'", "'bread', 1"))
    assert list(registry) == ["bread", "soup", "stew"], "those with an order first, then by file"
    assert registry["soup"] == registry.named("soup") == Dish("soup")


def test_an_unknown_name_is_answered_with_those_that_there_are(written: Written) -> None:
    with pytest.raises(UnknownVariant, match=r"There is no dish 'cake'; there are: soup\."):
        written(soup=GOOD.format("soup")).named("cake")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import no_such_package", "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"),
        ("DISH = (", "cannot be imported: SyntaxError"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("PLATE = 1", "is no dish: it has no DISH"),
        ("DISH = 'soup'", "is no dish: its DISH is no Dish"),
        (GOOD.format(""), "its DISH has no name"),
    ],
)
def test_a_broken_module_is_named_with_its_file(written: Written, text: str, sentence: str) -> None:
    registry = written(good=GOOD.format("soup"), mine=text)
    with pytest.raises(BrokenVariant, match=r"^kitchen/mine\.py") as broken:
        list(registry)
    assert sentence in str(broken.value)


def test_two_of_one_name_are_both_named(written: Written) -> None:
    with pytest.raises(BrokenVariant, match=r"kitchen/two\.py and kitchen/one\.py are both called 'soup'"):
        len(written(one=GOOD.format("soup"), two=GOOD.format("soup")))


def test_what_there_is() -> None:
    assert list(PROPOSERS) == ["playbook", "knobs", "claude"]
    assert set(FORMATS) == {"tsv", "jsonl", "tensorboard", "mlflow", "wandb", "parquet"}
    assert printing() == ["autoresearch", "nanochat", "nanogpt", "modded-nanogpt", "pattern"]
    assert writing() == ["jsonl", "csv", "tensorboard", "wandb"] == [name for name in SOURCES if name not in printing()]
    assert list(BUDGETS) == ["train_flops", "tokens", "wall_seconds", "own"]
    assert default_proposers(paid=False) == ["playbook", "knobs"]


def test_a_broken_module_stops_the_start_with_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, types\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'research_app.histories.formats.tsv_format':\n"
        "            raise ImportError('no such package')\n"
        "sys.meta_path.insert(0, Broken())\n"
    )
    ended = Installation(tmp_path / "home").command("check", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    sentence = "research_app/histories/formats/tsv_format.py cannot be imported: ImportError: no such package"
    assert ended.stderr.strip() == sentence


def test_a_column_may_have_one_order_or_two() -> None:
    one = Column("x", "X", orders=(Order("x", "by x", F("pk").asc()),))
    two = Column("x", "X", orders=(*one.orders, Order("x-z", "by x, from Z", F("pk").desc())))
    assert [one.next_order(now) for now in ("", "x")] == ["x", "x"]
    assert [two.next_order(now) for now in ("", "x", "x-z")] == ["x", "x-z", "x"]
