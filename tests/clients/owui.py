"""What Open WebUI's own functions make of the server. The module that talks to pipelines servers runs as it is in the wheel; only
what it imports from the rest of Open WebUI (its database of settings, its event log, its log levels) stands in here."""

import asyncio
import importlib.util
import io
import logging
import sys
import tempfile
import types

import aiohttp
from fastapi import HTTPException, UploadFile

from weir import DIST

USER = types.SimpleNamespace(id="u1", email="ann@example.com", name="Ann", role="user")
CONFIG = types.SimpleNamespace(OPENAI_API_BASE_URLS=[], OPENAI_API_KEYS=[])
REQUEST = types.SimpleNamespace(app=types.SimpleNamespace(state=types.SimpleNamespace(config=CONFIG)))


class Config:
    """Open WebUI's settings."""

    @staticmethod
    async def get(name, default=None):
        return {"openai.api_base_urls": CONFIG.OPENAI_API_BASE_URLS, "openai.api_keys": CONFIG.OPENAI_API_KEYS}.get(name, default)


async def publish_event(*_, **__):
    """Open WebUI's event log."""


async def no_models(*_):
    return []


class Names:
    """Any attribute is its own name."""

    def __getattr__(self, name):
        return name


class Levels(dict):
    """Any logger logs errors only."""

    def __missing__(self, _):
        return logging.CRITICAL


STANDINS = {
    "open_webui": {},
    "open_webui.models": {},
    "open_webui.routers": {},
    "open_webui.utils": {},
    "open_webui.config": {"CACHE_DIR": tempfile.mkdtemp(prefix="weir-clients-")},
    "open_webui.constants": {"ERROR_MESSAGES": Names()},
    "open_webui.env": {"AIOHTTP_CLIENT_SESSION_SSL": True, "AIOHTTP_FILE_STREAM_CHUNK_SIZE": 65536, "SRC_LOG_LEVELS": Levels()},
    "open_webui.events": {"EVENTS": Names(), "publish_event": publish_event},
    "open_webui.models.config": {"Config": Config},
    "open_webui.routers.openai": {"get_all_models_responses": no_models},
    "open_webui.utils.auth": {"get_admin_user": lambda: None},
}


def load(path):
    """The real module of a wheel."""
    for name, content in STANDINS.items():
        module = types.ModuleType(name)
        module.__path__ = []
        module.__dict__.update(content)
        sys.modules[name] = module
    spec = importlib.util.spec_from_file_location("open_webui_pipelines", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.log.setLevel(logging.CRITICAL + 1)
    return module


def checks(strict):
    """The checks of a mode, in order."""
    both = [
        discovery, filter_order, inlet, inlet_refusal_is_shown, inlet_of_a_pipe, inlet_of_a_manifold, outlet, admin_lists, valves_spec, valves_update,
        upload, upload_of_a_plain_name, add_is_refused, delete,
    ]
    return both + ([] if strict else [slash_ids_work, upload_of_junk_is_refused, outlet_refusal_is_shown])


def connect(server):
    CONFIG.OPENAI_API_BASE_URLS[:] = [server.base]
    CONFIG.OPENAI_API_KEYS[:] = [server.key]


async def models(server):
    """As Open WebUI builds its list of models."""
    connect(server)
    async with aiohttp.ClientSession() as session:
        async with session.get(server.base + "/models", headers={"Authorization": f"Bearer {server.key}"}) as response:
            answer = await response.json()
    assert "pipelines" in answer, answer
    found = {"llama3": {"id": "llama3", "owned_by": "ollama"}}
    for model in answer["data"]:
        found[model["id"]] = {**model, "owned_by": "openai", "openai": model, "urlIdx": 0}
    return found


def payload(content, model="llama3"):
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": content}], "metadata": {"chat_id": "c"}}


def filtered(server, module, direction, body):
    async def run():
        function = getattr(module, f"process_pipeline_{direction}_filter")
        return await function(REQUEST, body, USER, await models(server))

    return asyncio.run(run())


def refused(call):
    """The error of a call: status and the text people see."""
    try:
        found = call()
    except HTTPException as error:
        return error.status_code, str(error.detail)
    except Exception as error:  # 0.6.15 raises Exception(status, detail)
        return error.args[0], str(error.args[-1])
    raise AssertionError(f"no error: {found!r}")


def discovery(server, module):
    found = asyncio.run(models(server))
    kinds = {id: m["pipeline"]["type"] for id, m in found.items() if "pipeline" in m}
    assert kinds["echo_str"] == "pipe" and kinds["filter_basic"] == "filter" and kinds["manifold_list.p1"] == "manifold", kinds
    assert found["manifold_list.p1"]["name"] == "Mani: One", found["manifold_list.p1"]


def filter_order(server, module):
    found = asyncio.run(models(server))
    for model in ("llama3", "echo_str"):
        assert [f["id"] for f in module.get_sorted_filters(model, found)] == ["filter_basic"]


def inlet(server, module):
    body = filtered(server, module, "inlet", payload("hello"))
    assert body == {**payload("hello"), "messages": [{"role": "user", "content": "[f]hello"}]}, body


def inlet_refusal_is_shown(server, module):
    status, text = refused(lambda: filtered(server, module, "inlet", payload("raise")))
    assert status == (500 if server.strict else status) and status >= 400, status
    # 0.12.4 shows the reason phrase, which only the default mode fills with the plugin's words.
    if hasattr(module, "get_openai_connection") and server.strict:
        assert text == "Internal Server Error", text
    else:
        assert "Rate limit exceeded. Please try again later." in text, text


def outlet_refusal_is_shown(server, module):
    if not hasattr(module, "get_openai_connection"):
        return  # 0.6.15 only logs it
    status, text = refused(lambda: filtered(server, module, "outlet", payload("raise")))
    assert status >= 400 and "missing" in text, (status, text)


def inlet_of_a_pipe(server, module):
    body = filtered(server, module, "inlet", payload("hello", "with_hooks"))
    assert body["inlet_by"] == "with_hooks" and body["inlet_user"]["email"] == "ann@example.com", body
    assert body["messages"][0]["content"] == "[f]hello", body
    body = filtered(server, module, "inlet", payload("hello", "echo_str"))
    assert body["messages"][0]["content"] == "[f]hello", body


def inlet_of_a_manifold(server, module):
    body = filtered(server, module, "inlet", payload("hello", "manifold_list.p1"))
    assert body["seen"] is True, body


def slash_ids_work(server, module):
    body = filtered(server, module, "inlet", payload("hello", "manifold_list.org/p.2:x"))
    assert body["seen"] is True, body


def outlet(server, module):
    body = filtered(server, module, "outlet", payload("answer"))
    assert body["messages"][0]["content"] == "answer[f]", body


def admin(server, call):
    connect(server)
    return asyncio.run(call)


def admin_lists(server, module):
    found = admin(server, module.get_pipelines(REQUEST, 0, USER))["data"]
    kinds = {p["id"]: (p["type"], p["valves"]) for p in found}
    assert kinds["filter_basic"] == ("filter", True) and kinds["manifold_list"] == ("manifold", True), kinds


def valves_spec(server, module):
    spec = admin(server, module.get_pipeline_valves_spec(REQUEST, 0, "valves_all", USER))
    assert spec["properties"]["mode"]["enum"] == ["fast", "slow"], spec
    assert spec["properties"]["enabled"]["type"] == "boolean", spec
    assert spec["properties"]["API_KEY"]["title"] == "Api Key", spec


def valves_update(server, module):
    # The admin page sends numbers as text.
    form = {"HOST": "h", "PORT": "7000", "temperature": "1.5", "enabled": "yes", "tags": ["x", "y"], "limit": None}
    values = admin(server, module.update_pipeline_valves(REQUEST, 0, "valves_all", form, USER))
    wanted = {"HOST": "h", "PORT": 7000, "temperature": 1.5, "enabled": True, "tags": ["x", "y"], "limit": None, "mode": "fast"}
    assert {n: values[n] for n in wanted} == wanted, values
    assert admin(server, module.get_pipeline_valves(REQUEST, 0, "valves_all", USER)) == values


def put(server, module, name, content):
    file = UploadFile(io.BytesIO(content), filename=name)
    return admin(server, module.upload_pipeline(REQUEST, 0, file, USER))


def has(server, id):
    return id in asyncio.run(models(server))


def upload(server, module):
    answer = put(server, module, "upped.wasm.py", (DIST / "upload" / "upped.wasm").read_bytes())
    assert answer["status"] is True, answer
    assert has(server, "upped")


def upload_of_a_plain_name(server, module):
    answer = put(server, module, "added.py", (DIST / "upload" / "added.wasm").read_bytes())
    assert answer["status"] is True, answer
    assert has(server, "added")


def upload_of_junk_is_refused(server, module):
    status, _ = refused(lambda: put(server, module, "junk.wasm.py", b"\0asm"))
    assert 400 <= status < 500, status
    assert not has(server, "junk")


def add_is_refused(server, module):
    form = module.AddPipelineForm(url="http://127.0.0.1:1/x.py", urlIdx=0)
    status, _ = refused(lambda: admin(server, module.add_pipeline(REQUEST, form, USER)))
    assert status >= 400, status


def delete(server, module):
    form = module.DeletePipelineForm(id="upped", urlIdx=0)
    answer = admin(server, module.delete_pipeline(REQUEST, form, USER))
    assert answer["status"] is True, answer
    assert not has(server, "upped")
