"""The app over HTTP, in process: what it answers, to whom, and which files it gives away."""

import json
import socket
import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from starlette.testclient import TestClient, WebSocketDenialResponse

from pellucid.errors import PellucidError
from pellucid.settings import StudioSettings
from pellucid.show.studio import app as studio
from pellucid.show.studio.app import serve, warm_up
from pellucid.show.studio.request_filter import RequestFilter
from pellucid.show.style import DARK, LIGHT

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio", "ignore::DeprecationWarning:starlette")


@pytest.fixture(scope="module")
def client(studio):
    with TestClient(studio.app, base_url="http://127.0.0.1:7860") as running:
        yield running


def test_the_page_asks_nobody_else_for_anything(client):
    """Rejects fonts, scripts and counters from elsewhere."""
    page = client.get("/")
    assert page.status_code == 200
    for foreign in ("googleapis", "gstatic", "cdnjs", "cdn.", "huggingface.co", "analytics.js"):
        assert foreign not in page.text
    config = client.get("/config").json()
    assert config["analytics_enabled"] is False
    assert not config["stylesheets"]
    assert "font-face" not in client.get("/theme.css").text


def test_nothing_is_offered_to_programs(client):
    """Rejects an interface that is described to whoever asks."""
    assert client.get("/gradio_api/info").json()["named_endpoints"] == {}
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).text.count("paths") == 0


ASKED = ("GET", "/"), ("GET", "/config"), ("GET", "/theme.css"), ("GET", "/gradio_api/queue/data?session_hash=x")
ASKED = (
    *ASKED,
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/run/predict"),
    ("POST", "/gradio_api/upload"),
)
ASKED = (*ASKED, ("GET", "/gradio_api/heartbeat/x"), ("GET", "/gradio_api/file=/etc/passwd"), ("GET", "/atlas/x/y"))


@pytest.mark.parametrize("given", ["", "?token=", "?token=wrong", "?token=right&token=wrong"])
def test_no_part_of_a_studio_open_to_a_network_answers_without_the_token(studio, given):
    """Rejects a guard of the page alone: queues, streams, uploads, files, an atlas and sockets are asked as well."""
    strange = TestClient(RequestFilter(studio.app._app, 10**6, "right"), base_url="http://192.168.1.7:7860")
    for method, path in ASKED:
        asked = path + given.replace("?", "&" if "?" in path else "?")
        assert strange.request(method, asked).status_code == 401, path
    with pytest.raises(WebSocketDenialResponse), strange.websocket_connect(f"/gradio_api/queue/join{given}"):
        pass
    assert strange.get("/config?token=right").status_code == 200


def test_no_way_leads_out_of_what_was_uploaded(client, tmp_path):
    """Rejects dots, links and encoded signs in a path that begins where uploads lie, and in the name of an upload."""
    (path,) = client.post("/gradio_api/upload", files={"files": ("../../../escaped.png", b"mine")}).json()
    folder, secret = Path(path).parent, tmp_path / "secret.txt"
    assert client.get(f"/gradio_api/file={path}").content == b"mine"
    secret.write_text("secret")
    (folder / "link.png").symlink_to(secret)
    dots = "/".join([".."] * (len(folder.parts) - 1))
    for way in (
        f"{dots}{secret}",
        f"{dots}{secret}".replace("/", "%2f"),
        f"{dots}{secret}".replace(".", "%2e"),
        "link.png",
    ):
        assert client.get(f"/gradio_api/file={folder}/{way}").status_code in (400, 403, 404), way


@pytest.mark.parametrize("path", ["/etc/passwd", str(Path(__file__)), str(Path("pyproject.toml").resolve()), "../x"])
def test_no_file_of_this_machine_is_given_away(client, path):
    """Rejects a path of the client's that is opened."""
    assert client.get(f"/gradio_api/file={path}").status_code in (403, 404)


def called(client, studio, name, *data):
    """What the app answers a window that calls a handler by itself, as its last event tells."""
    (fn,) = [fn for fn in studio.blocks.fns.values() if fn.name == name]
    asked = {"fn_index": fn._id, "data": data, "session_hash": "forged"}
    assert client.post("/gradio_api/queue/join", json=asked).status_code == 200
    with client.stream("GET", "/gradio_api/queue/data?session_hash=forged") as events:
        for row in events.iter_lines():
            if "process_completed" in row:
                return json.loads(row.removeprefix("data:"))
    raise AssertionError("no answer")


@pytest.mark.parametrize("path", ["/etc/passwd", str(Path(__file__)), "/etc/passwd.svg", "http://127.0.0.1:1/a.png"])
def test_a_path_sent_as_an_upload_is_not_opened(client, studio, path, capsys):
    """Rejects a window that names a file, or an address, where a dropped one is expected."""
    sent = {"path": path, "url": path, "meta": {"_type": "gradio.FileData"}}
    assert not called(client, studio, "show_dropped", sent)["success"]
    capsys.readouterr()


def test_what_was_uploaded_is_opened(client, studio):
    """Rejects a guard that keeps everybody out."""
    (path,) = client.post("/gradio_api/upload", files={"files": ("a.png", b"no picture")}).json()
    told = called(client, studio, "show_dropped", {"path": path, "meta": {"_type": "gradio.FileData"}})
    assert told["success"]
    assert "is no picture that can be read" in told["output"]["data"][0]


def test_a_file_that_is_too_large_is_refused_on_its_way(client):
    """Rejects an upload without end."""
    answer = client.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 1_500_000)})
    assert answer.status_code == 413
    assert client.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 2_500_000)}).status_code == 413


@pytest.mark.parametrize("path", ["/atlas/x/index.html", "/atlas/../../etc/passwd", "/atlas/x/../../../etc/passwd"])
def test_an_atlas_is_reached_by_its_own_address_only(client, path):
    """Rejects a guess, and a way out of the folder."""
    assert client.get(path).status_code == 404


def test_a_closed_window_is_forgotten(client, studio):
    """Rejects work that outlives its window."""
    (unload,) = [fn for fn in studio.blocks.fns.values() if fn.targets[0][1] == "unload"]
    from tests.show.studio.conftest import window

    studio.context.session(window("gone")).kept["photo"] = 1
    unload.fn(window("gone"))
    assert studio.context.session(window("gone")).kept == {}


def test_warming_up_leaves_no_window_behind(studio):
    """Rejects a session that nobody owns."""
    before = len(studio.context.sessions)
    warm_up(studio.context)
    assert len(studio.context.sessions) == before


def test_both_lights_are_those_of_the_pages():
    """Rejects colours of its own, and fonts from elsewhere."""
    css = studio.sheet()
    assert all(colour in css for colour in (*vars(LIGHT).values(), *vars(DARK).values()))
    made = studio.theme()
    assert made._stylesheets == []
    assert made.body_background_fill == LIGHT.paper
    assert made.body_background_fill_dark == DARK.paper


def test_what_cannot_be_served_is_said_before_anything_is_opened(tmp_path):
    """Rejects a traceback for a port that is taken, and for a model that is none."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PellucidError, match=f"Port {port} of 127.0.0.1 cannot be had"):
            serve(StudioSettings(port=port, open=False))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no network")
    with pytest.raises(PellucidError, match="broken"):
        serve(StudioSettings(port=0, open=False), [str(broken)])
