"""The same bytes from one process, from two workers, and after a death in the middle of either."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foreign import alike
from pellucid.learn.experiments.grid_search import study
from pellucid.learn.layers import Dense, Flatten
from pellucid.see.dataset import activation_stats
from pellucid.show import dream_export
from pellucid.show.atlas.build import Atlas, atlas
from spread import pieces

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
ASKED = {"layer": "conv1", "unit": "auto", "levels": 2, "rounds": 1, "steps": 3, "size": 40}
GRID = {"ridge": [0.01, 0.4], "seed": [0, 3]}
PLAN = [Flatten(), Dense(9, "sigmoid"), Dense(pieces.CLASSES, "linear")]
SHARED = {"epochs": 2, "batch": 16, "check": False, "progress": False}


def make(model, out: Path, engine=None) -> Atlas:
    """An atlas whose command does not say where it lies."""
    out.mkdir(parents=True)
    before = Path.cwd()
    os.chdir(out)
    try:
        return atlas(model, "site", pieces.data(), engine=engine, progress=lambda *_: None, **pieces.QUICK)
    finally:
        os.chdir(before)


def same(one: object, other: object) -> bool:
    """Whether what two atlases say is the same but for rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return alike(one, other) if isinstance(one, float) else one == other


@pytest.mark.parametrize("model", [pieces.network_model, pieces.torch_model])
def test_an_atlas_is_the_same(workers, monkeypatch, tmp_path, model):
    """Rejects shares merged as they come, chunks in another order, leftover pieces; for a network of `learn`, a worker
    that rounds otherwise: there it is the same byte for byte."""
    monkeypatch.setattr(activation_stats, "BATCH", 16)
    monkeypatch.setattr(activation_stats, "CHUNK", 16)
    one, two = make(model(), tmp_path / "one"), make(model(), tmp_path / "two", workers)
    assert same(one.record, two.record)
    mine, theirs = pieces.content(tmp_path / "one"), pieces.content(tmp_path / "two")
    assert mine.keys() == theirs.keys()
    if model is pieces.network_model:
        assert [name for name in mine if mine[name] != theirs[name]] == []
    assert not any("pieces" in name for name in mine)
    assert {"site/index.html", "site/arrays/scan.npz", "site/arrays/layer-001.npz"} <= mine.keys()


def test_dreams_are_the_same_and_not_dreamt_twice(workers, tmp_path, monkeypatch):
    """Rejects a dream under the name of another, one that is dreamt again, and one that was changed and stays."""
    folder, model = pieces.photos(tmp_path / "photos"), pieces.network_model()
    local = list(dream_export.save_dreams(folder, model, out=tmp_path / "one", **ASKED))
    spread = list(dream_export.save_dreams(folder, model, out=tmp_path / "two", engine=workers, **ASKED))
    assert [path.name for path in local] == ["0.png", "1.png", "2.png", "3.png"]
    assert sorted(path.name for path in spread) == ["0.png", "1.png", "2.png", "3.png"]
    assert pieces.content(tmp_path / "one") == pieces.content(tmp_path / "two")
    whole = pieces.content(tmp_path / "two")
    (tmp_path / "two" / "1.png").write_bytes(whole["2.png"])
    (tmp_path / "two" / "3.png").unlink()
    dreamt, real = [], dream_export.dream_on_photo
    monkeypatch.setattr(
        dream_export, "dream_on_photo", lambda item, *rest: (dreamt.append(item[1]), real(item, *rest))[1]
    )
    list(dream_export.save_dreams(folder, model, out=tmp_path / "two", **ASKED))
    assert dreamt == ["1.png", "3.png"]
    assert pieces.content(tmp_path / "two") == whole
    list(dream_export.save_dreams(folder, model, out=tmp_path / "two", **{**ASKED, "steps": 4}))
    assert dreamt[2:] == ["0.png", "1.png", "2.png", "3.png"]


def test_a_study_is_the_same_but_for_its_seconds(workers, tmp_path):
    """Rejects a run under the values of another, and a table in the order in which workers finish."""

    def rows(folder: Path) -> list[dict[str, str]]:
        with (folder / "runs.csv").open(newline="", encoding="utf-8") as file:
            return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]

    data = pieces.data()
    one = study(PLAN, data, GRID, out=tmp_path / "one", **SHARED)
    two = study(PLAN, data, GRID, out=tmp_path / "two", engine=workers, **SHARED)
    assert rows(tmp_path / "one") == rows(tmp_path / "two")
    assert [(row["ridge"], row["seed"]) for row in rows(tmp_path / "two")][1:3] == [("0.01", "3"), ("0.4", "0")]
    for mine, theirs in zip(one.runs, two.runs, strict=True):
        assert (mine.values, mine.loss, mine.test_accuracy) == (theirs.values, theirs.loss, theirs.test_accuracy)
    names = {path.name for path in (tmp_path / "two").iterdir()}
    assert names == {"runs.csv", "study.json", "summary.csv"}


SCRIPT = """
import sys
from pellucid.show.atlas.build import atlas
from pellucid.spread.engines import engine_of
from spread import pieces
with engine_of(engine="ray", workers=2) as engine:
    atlas(pieces.network_model(), "site", pieces.data(), engine=engine, progress=lambda *_: None, **pieces.QUICK)
"""


def end_session(number: int) -> None:
    """End what a driver that was killed leaves behind: two helpers of Ray outlive it."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            session = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[3])
            if session == number:
                os.kill(int(path.parent.name), signal.SIGKILL)
        except OSError:
            continue  # it has ended meanwhile


def test_a_killed_driver_goes_on(tmp_path):
    """Rejects a chunk that is found twice, a file cut short, and a page of an atlas that passes for whole."""
    pytest.importorskip("ray")
    out = tmp_path / "killed"
    out.mkdir()
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", SCRIPT]
    driver = subprocess.Popen(command, cwd=out, env=environment, stderr=subprocess.PIPE, start_new_session=True)
    try:
        arrays, until = out / "site" / "arrays", time.monotonic() + 60
        while not list(arrays.glob("pieces/layer-*.npz")) and time.monotonic() < until:
            assert driver.poll() is None, driver.stderr.read().decode()
            time.sleep(0.002)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        driver.stderr.close()
        end_session(driver.pid)
    assert (arrays / "scan.npz").exists()
    page = out / "site" / "index.html"
    assert not page.exists() or "This atlas is still being made" in page.read_text(encoding="utf-8")
    before = Path.cwd()
    os.chdir(out)
    try:
        again = atlas(pieces.network_model(), "site", pieces.data(), progress=lambda *_: None, **pieces.QUICK)
    finally:
        os.chdir(before)
    assert again.resumed >= 2
    make(pieces.network_model(), tmp_path / "whole")
    assert pieces.content(out) == pieces.content(tmp_path / "whole")
