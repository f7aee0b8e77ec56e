"""Albums keep what was dreamt: films, panels, many photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from pellucid.data.clips import frame_times, read_frames
from pellucid.data.photos import read_photo
from pellucid.errors import PellucidError, PellucidWarning
from pellucid.executors import Engine
from pellucid.see.dream.dream import dream
from pellucid.see.models.open import open_model
from pellucid.show import dream_export
from pellucid.show.figures.pictures import dream_panel, stages_panel
from pellucid.show.films import save_film
from pellucid.show.result_cache import ResultCache
from tests.see.conftest import small_cnn

ASKED = {"layer": "relu2", "unit": 1, "levels": 1, "rounds": 2, "steps": 3}


class Elsewhere(Engine):
    """An engine that is not this process."""

    def map(self, work, shared, items, count, *, label="", progress=None):
        return iter(())


@pytest.fixture
def model():
    torch.manual_seed(0)
    return open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:33, 0:51] / 51
    pixels = np.stack([x, y, np.sin(9 * x) / 2 + 0.5], -1) * 200 + 20
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_film_plays_the_photo_and_every_round(model, photo, tmp_path):
    """Rejects a film without its first or last picture."""
    dreamt = dream(photo, model, **ASKED)
    with Image.open(dream_export.save_dream_film(dreamt, tmp_path / "film.webp")) as film:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
    assert len(frames) == 3
    for frame, picture in zip(frames, (dreamt.before, *dreamt.frames), strict=True):
        np.testing.assert_allclose(frame, 255 * picture.transpose(1, 2, 0), atol=0.51)
    gray = dream(photo, model, color=False, frame=20, **ASKED)
    with Image.open(dream_export.save_dream_film(gray, tmp_path / "film.gif")) as film:
        assert film.size == (20, 13)
    with pytest.raises(PellucidError, match="kept no frames"):
        dream_export.save_dream_film(dream(photo, model, frame=0, **ASKED), tmp_path / "film.gif")


def test_a_panel_shows_all_four(model, photo):
    """Rejects a panel that shows one picture twice."""
    figure = dream_panel(dream(photo, model, contrast=1.3, **ASKED))
    shown = [np.asarray(image.get_array()) for image in figure.axes[0].images]
    assert len({image.tobytes() for image in shown}) == 4
    assert [text.get_text() for text in figure.axes[0].texts] == ["photo", "gray", "dream", "dream, contrast"]


def test_stages_show_what_the_model_saw(model, photo):
    """Rejects pieces that no ascent has changed, undreamt ones that have, and a detail that is lost."""
    asked = {**ASKED, "levels": 2, "steps": 8, "tiles": [None, [0]], "contrast": 1.2}
    dreamt = dream(photo, model, **asked)
    figure = stages_panel(dreamt)
    shown = [np.asarray(image.get_array())[..., 0].astype(float) for image in figure.axes[0].images]
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words[:6] == [*(f"level 1, step {step}" for step in (0, 2, 4, 8)), "enlarged", "with the detail"]
    assert words[12] == "after round 1, contrast 1.10"
    assert words[-1] == "after round 2, contrast 1.20"
    assert len(words) == len(shown) == 2 * (6 + 7)
    first, _, _, last = shown[6:10]  # the pieces of level 2
    assert np.abs(last - first)[: len(first) // 2 - 8].max() > 2
    assert np.array_equal(last[len(first) // 2 + 8 :], first[len(first) // 2 + 8 :])
    assert np.abs(np.diff(shown[5])).mean() > np.abs(np.diff(shown[4])).mean()
    for stage in dreamt.stages[0]:
        assert stage.seen.shape == (4, len(stage.tiles), 1, 13, 9)
        np.testing.assert_allclose(stage.seen.mean((2, 3, 4)), 0, atol=1e-4)
    with pytest.raises(PellucidError, match="no stages in a dream by octaves"):
        stages_panel(dream(photo, model, layer="relu2", unit=1, method="octaves", steps=1, octaves=1))


def test_each_level_tells_its_gain_and_its_units(model, photo):
    """Rejects the mean over all levels, units of another level, and an endless list."""
    dreamt = dream(photo, model, **{**ASKED, "levels": 2, "unit": [2, [0, 1, 2, 3]], "rounds": 1})
    lines = dream_export.activation_lines(dreamt)
    assert len(lines) == len(dreamt.counts) == 2
    after, before = (each[: dreamt.counts[0]].mean() for each in (dreamt.activations, dreamt.activations_before))
    gain = f"{after:.4f} for the dream, {before:.4f} for the photo"
    assert lines[0] == f"Activation of relu2: {gain} (level 1, unit 2)."
    assert "(level 2, units " in lines[1]
    assert all(str(unit) in lines[1].rsplit("units", 1)[1] for unit in range(4))
    whole = dream(photo, model, **{**ASKED, "unit": -1})
    assert dream_export.activation_lines(whole)[0].endswith("(level 1, the whole layer).")
    deep = dream(photo, model, layer="relu2", unit=3, method="octaves", steps=1, octaves=1)
    assert dream_export.activation_lines(deep)[0].endswith("for the photo (unit 3).")


def test_many_photos_become_many_pictures(model, photo, tmp_path):
    """Rejects pictures that overwrite each other, and files that are no pictures."""
    for name in ("a.png", "a.jpg", "b.webp"):
        Image.open(photo).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.warns(PellucidWarning, match=r"Skipped 1 of the files: .*notes\.txt \(no picture\)\.$"):
        written = list(dream_export.save_dreams(tmp_path, model, out=tmp_path / "out", **ASKED))
    assert [path.name for path in written] == ["a.jpg.png", "a.png.png", "b.png", "photo.png"]
    assert all(read_photo(path).image.shape == (3, 33, 51) for path in written)
    assert dream_export.find_photos(f"{tmp_path}/a.*") == {f"{tmp_path}/a.jpg": "", f"{tmp_path}/a.png": ""}
    with pytest.raises(PellucidError, match="no picture in"):
        dream_export.find_photos(f"{tmp_path}/z*.png")
    with pytest.raises(PellucidError, match="no single photo"):
        list(dream_export.save_dreams(tmp_path, model, film=tmp_path / "film.gif", **ASKED))


def broken(folder: Path, photo: Path) -> Path:
    """A folder of one photo, a file without its end, one of text, and an empty one; and what systems leave behind."""
    folder.mkdir()
    content = photo.read_bytes()
    files = {"b.png": content, "a.jpg": b"no picture", "c.png": content[:100], "d.webp": b""}
    files |= {"._b.png": b"\0\5\x16\7", ".DS_Store": b"\0\0\0\1Bud1", "Thumbs.db": b"\xd0\xcf\x11\xe0"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "e.png").mkdir()
    (folder / "e.png" / "deeper.png").write_bytes(photo.read_bytes())
    return folder


@pytest.mark.parametrize("glob", ["", "/*"])
def test_a_folder_goes_on_past_what_is_broken(model, photo, tmp_path, glob):
    """Rejects a stop at the first broken file, files left out without a word, and dreams for them."""
    folder = broken(tmp_path / "holiday", photo)
    with pytest.warns(PellucidWarning) as warned:
        written = list(dream_export.save_dreams(f"{folder}{glob}", model, out=tmp_path / "out", **ASKED))
    assert written == [tmp_path / "out" / "b.png"]
    assert list((tmp_path / "out").iterdir()) == written
    names = ["a.jpg", "c.png", "d.webp", "Thumbs.db"] + ["._b.png", ".DS_Store"] * (glob == "")
    words = str(warned[0].message)
    assert len(warned) == 1
    assert words.startswith(f"Skipped {len(names)} of the files: {folder}/")
    assert all(f"{folder / name} (" in words for name in names)
    assert "a.jpg (cannot be read); " in words


def test_a_folder_of_nothing_but_broken_files_is_refused(model, photo, tmp_path):
    """Rejects a success without any dream."""
    folder = broken(tmp_path / "holiday", photo)
    (folder / "b.png").unlink()
    with pytest.raises(PellucidError, match=r"None of 6 files can be read, such as '.*a\.jpg'"):
        list(dream_export.save_dreams(folder, model, out=tmp_path / "out", **ASKED))
    for name in ("a.jpg", "c.png", "d.webp"):
        (folder / name).unlink()
    with pytest.raises(PellucidError, match="no picture in"):
        list(dream_export.save_dreams(folder, model, out=tmp_path / "out", **ASKED))


def test_a_photo_dreams_the_same_alone_and_in_a_folder(model, photo, tmp_path):
    """Rejects random numbers that go on from photo to photo, a frame or a note that changes pixels, and a size kept."""
    folder = tmp_path / "holiday"
    folder.mkdir()
    Image.fromarray(np.full((20, 30), 90, np.uint8)).save(folder / "a.png")
    Image.open(photo).save(folder / "b.png")
    for settings in ({"rounds": 1, "levels": 1}, {"method": "octaves", "octaves": 2, "seed": 3}):
        asked = {"layer": "relu2", "unit": 1, "steps": 3} | settings
        _, among = dream_export.save_dreams(folder, model, out=tmp_path / str(len(settings)), note="many", **asked)
        alone = dream(folder / "b.png", model, **asked).save(tmp_path / "alone.png")
        assert np.abs(read_photo(among).image - read_photo(alone).image).max() <= 1 / 255


def test_dreams_that_are_there_are_not_dreamt_twice(model, photo, tmp_path, monkeypatch):
    """Rejects a dream of other settings, of another photo or cut short that is kept, and one made again for nothing."""
    folder, dreamt, real = tmp_path / "holiday", [], dream_export.dream_on_photo
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.open(photo).crop((0, 0, 30 + ord(name[0]) % 3, 20)).save(folder / name)
    monkeypatch.setattr(
        dream_export, "dream_on_photo", lambda item, *rest: (dreamt.append(item[1]), real(item, *rest))[1]
    )
    for form in ("{photo}.png", "{photo}.jpg", "{photo}.webp"):

        def again(form: str = form, **settings: int) -> list[str]:
            dreamt.clear()
            list(dream_export.save_dreams(folder, model, out=tmp_path / "out" / form, **(ASKED | settings)))
            return dreamt

        assert again() == ["a.png", "b.png", "c.png"]
        assert again() == []
        one, other, cut = (tmp_path / "out" / form.replace("{photo}", name) for name in "abc")
        one.write_bytes(other.read_bytes())
        cut.write_bytes(cut.read_bytes()[:300])
        assert again() == ["a.png", "c.png"]
        assert again(steps=2) == ["a.png", "b.png", "c.png"]


def test_photos_are_never_replaced_by_their_dreams(model, photo, tmp_path):
    """Rejects a folder of dreams that is that of the photos."""
    with pytest.raises(PellucidError, match="would replace photos"):
        list(dream_export.save_dreams(f"{tmp_path}/*.png", model, out=tmp_path, **ASKED))


def test_what_is_dreamt_in_python_tells_its_settings(model, photo, tmp_path):
    """Rejects a dream that says nothing of how it was made."""
    note = dream(photo, model, **ASKED).to_photo().metadata.note
    assert note.startswith("pellucid Dream(51 x 33, unit 1 of 'relu2' in ")
    assert '"steps":3' in note


def test_one_photo_with_all_that_can_be_kept(model, photo, tmp_path):
    """Rejects a path that is not tried before the work, and a file that is forgotten."""
    paths = {"out": tmp_path / "d.jpg", "film": tmp_path / "f.gif", "panel_path": tmp_path / "p.png"}
    written = list(dream_export.save_dreams(photo, model, zoom=2, **paths, **ASKED))
    assert sorted(written) == sorted(paths.values())
    assert all(path.stat().st_size > 100 for path in written)
    with pytest.raises(PellucidError, match="one piece of work"):
        list(dream_export.save_dreams(photo, model, engine=Elsewhere(), **ASKED))
    with pytest.raises(PellucidError, match="--film"):
        list(dream_export.save_dreams(photo, model, zoom=2, **ASKED))
    with pytest.raises(PellucidError, match="does not exist"):
        list(dream_export.save_dreams(tmp_path / "no.png", model, film=tmp_path / "nowhere" / "f.gif", **ASKED))


@pytest.fixture
def colored():
    torch.manual_seed(0)
    return open_model(small_cnn(3), input_shape=(3, 13, 9))


def clip(path: Path, count: int = 5) -> Path:
    """A pan over waves, 24 x 36, 40 milliseconds a frame."""
    y, x = np.mgrid[0:24, 0:60] / 9
    waves = np.uint8(127 + 100 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1))
    return save_film([waves[:, i : i + 36] for i in range(count)], path, milliseconds=[40] * count, hold=0)


FLOWS = {"layer": "relu2", "unit": 1, "octaves": 1, "steps": 2}


@pytest.mark.parametrize(("name", "out"), [("a.mp4", "b.mp4"), ("a.mp4", "b.gif"), ("a.webp", "b.webp")])
def test_a_clip_becomes_a_film_as_long_and_as_quick(colored, tmp_path, name, out):
    """Rejects frames that are dropped, another rate, frames that are left behind, and a film that is not dreamt."""
    pytest.importorskip("av")
    pytest.importorskip("cv2")
    source = clip(tmp_path / name)
    path = dream_export.save_clip(source, colored, out=tmp_path / out, **FLOWS)
    assert frame_times(path) == pytest.approx([40] * 5, abs=0.1)
    dreamt, plain = ([pixels for pixels, _, _ in read_frames(file)] for file in (path, source))
    assert np.abs(dreamt[-1] - plain[-1]).mean() > 0.02
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted({name, out})
    with pytest.raises(PellucidError, match="no layer 'none'"):
        dream_export.save_clip(source, colored, out=tmp_path / out, **{**FLOWS, "layer": "none"})
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted({name, out})


@pytest.mark.parametrize("at", [1, 3, 4, 8, 9])
def test_a_clip_goes_on_where_it_was_killed(colored, tmp_path, monkeypatch, at):
    """Rejects a run that starts anew or trusts a half-written frame, and one that goes on to another film."""
    pytest.importorskip("cv2")
    source, steps = clip(tmp_path / "a.webp"), []
    whole = dream_export.save_clip(source, colored, out=tmp_path / "whole.webp", **FLOWS).read_bytes()
    saved = ResultCache.save_part

    def killed(cache, name, arrays, pieces):
        steps.append(name)
        if len(steps) == at:
            raise KeyboardInterrupt
        saved(cache, name, arrays, pieces)

    monkeypatch.setattr(ResultCache, "save_part", killed)
    with pytest.raises(KeyboardInterrupt):
        dream_export.save_clip(source, colored, out=tmp_path / "film.webp", **FLOWS)
    assert not (tmp_path / "film.webp").exists()
    monkeypatch.setattr(ResultCache, "save_part", lambda *asked: (steps.append(asked[1]), saved(*asked))[1])
    again = dream_export.save_clip(source, colored, out=tmp_path / "film.webp", **FLOWS)
    assert again.read_bytes() == whole
    assert steps.count("last") <= 6  # of five frames, at most the one that was not written is dreamt twice
    assert not (tmp_path / "film.webp.frames").exists()


def test_frames_of_other_settings_are_not_taken_over(colored, tmp_path, monkeypatch):
    """Rejects a film of two dreams, after an interruption and a change of mind."""
    pytest.importorskip("cv2")
    source = clip(tmp_path / "a.gif")
    whole = dream_export.save_clip(source, colored, out=tmp_path / "whole.gif", **FLOWS).read_bytes()
    monkeypatch.setattr(dream_export, "save_film", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        dream_export.save_clip(source, colored, out=tmp_path / "film.gif", **{**FLOWS, "unit": 2})
    monkeypatch.undo()
    assert dream_export.save_clip(source, colored, out=tmp_path / "film.gif", **FLOWS).read_bytes() == whole


def test_the_sound_of_a_clip_is_kept(colored, tmp_path):
    """Rejects a silent film, and one whose sound lasts longer than its pictures."""
    av = pytest.importorskip("av")
    pytest.importorskip("cv2")
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        seen, heard = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=48000, layout="mono")
        seen.width, seen.height, seen.pix_fmt = 36, 24, "yuv420p"
        for number in range(6):
            out.mux(seen.encode(av.VideoFrame.from_ndarray(np.full((24, 36, 3), 30 * number, np.uint8))))
        tone = np.sin(np.arange(11_520) / 9, dtype=np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = 48000
        for packet in [*seen.encode(None), *heard.encode(frame), *heard.encode(None)]:
            out.mux(packet)
    path = dream_export.save_clip(tmp_path / "a.mp4", colored, out=tmp_path / "b.mp4", **FLOWS)
    with av.open(str(tmp_path / "a.mp4")) as before, av.open(str(path)) as after:
        sounds = [np.concatenate([f.to_ndarray() for f in file.decode(audio=0)], 1) for file in (before, after)]
    np.testing.assert_array_equal(*sounds)


def test_what_only_a_zoom_knows_is_refused_without_one(model, photo, tmp_path):
    """Rejects a rotation that is ignored, and a frame time of no film."""
    for asked in ({"rotate": 3.0, "film": tmp_path / "f.gif"}, {"loop": True}, {"milliseconds": 40}, {"zoom": 4}):
        with pytest.raises(PellucidError, match="give --film, and for these --zoom"):
            list(dream_export.save_dreams(photo, model, **asked, **ASKED))


def test_a_zoom_takes_its_time_and_a_loop_does_not_hold(model, photo, tmp_path):
    """Rejects the time of rounds for a zoom, and a loop that stops at its last picture."""
    paths = {"out": tmp_path / "d.png", "film": tmp_path / "f.webp"}
    list(dream_export.save_dreams(photo, model, zoom=3, factor=1.2, milliseconds=50, **paths, **ASKED))
    assert frame_times(tmp_path / "f.webp") == [50, 50, 50, 1250]
    list(dream_export.save_dreams(photo, model, zoom=3, loop=True, milliseconds=50, **paths, **ASKED))
    assert frame_times(tmp_path / "f.webp") == [50, 50, 50]
