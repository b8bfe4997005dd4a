"""What users of the real openai SDK see."""

import asyncio

import openai

USER = [{"role": "user", "content": "hi"}]
TOOL_HISTORY = [
    {"role": "user", "content": "x"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "r"},
]


def checks(strict):
    """The checks of a mode, in order."""
    both = [models, create, stream, stream_helper, async_stream, generator, manifold, events, unknown_model, wrong_key_on_models]
    return both + (STRICT if strict else DEFAULT)


def client(server, key=None):
    return openai.OpenAI(base_url=server.base + "/v1", api_key=key or server.key, max_retries=0)


def create_with(server, model, messages=USER, key=None):
    return client(server, key).chat.completions.create(model=model, messages=messages, stream=False)


def stream_with(server, model):
    with client(server).chat.completions.create(model=model, messages=USER, stream=True) as chunks:
        return list(chunks)


def texts(chunks):
    return [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content is not None]


def raises(kind, call):
    try:
        found = call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}: {found!r}")


def models(server):
    found = {m.id: m for m in client(server).models.list()}
    assert {"echo_str", "my-own-id", "filter_basic", "manifold_list.p1"} <= found.keys(), found
    assert found["echo_str"].owned_by == "openai"
    assert found["filter_basic"].model_dump()["pipeline"] == {"type": "filter", "pipelines": ["*"], "priority": 5, "valves": True}


def create(server):
    answer = create_with(server, "echo_str")
    assert answer.choices[0].message.content == "echo[echo_str]: hi", answer
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.object == "chat.completion" and answer.model == "echo_str"


def stream(server):
    chunks = stream_with(server, "gen_words")
    assert texts(chunks) == ["one ", "two ", "drei ü ", '"quoted"\n'], chunks
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]


def stream_helper(server):
    with client(server).chat.completions.stream(model="gen_words", messages=USER) as events:
        kinds = [e.type for e in events]
        final = events.get_final_completion()
    assert kinds.count("content.delta") == 4, kinds
    assert final.choices[0].message.content == 'one two drei ü "quoted"\n', final


def async_stream(server):
    async def run():
        asynchronous = openai.AsyncOpenAI(base_url=server.base + "/v1", api_key=server.key, max_retries=0)
        async with asynchronous:
            chunks = await asynchronous.chat.completions.create(model="gen_words", messages=USER, stream=True)
            return [c async for c in chunks]

    assert "".join(texts(asyncio.run(run()))) == 'one two drei ü "quoted"\n'


def generator(server):
    answer = create_with(server, "gen_words")
    assert answer.choices[0].message.content == 'one two drei ü "quoted"\n', answer


def manifold(server):
    answer = create_with(server, "manifold_list.p1")
    assert answer.choices[0].message.content == "hi p1 (body.model=manifold_list.p1)", answer


def events(server):
    chunks = [c.model_dump() for c in stream_with(server, "gen_mixed")]
    status = [c["event"] for c in chunks if c.get("event")]
    assert status == [{"type": "status", "data": {"description": "working ü", "done": False}}], chunks


def unknown_model(server):
    error = raises(openai.NotFoundError, lambda: create_with(server, "nope"))
    assert error.status_code == 404


def wrong_key_on_models(server):
    error = raises(openai.AuthenticationError, lambda: client(server, "nope").models.list())
    assert error.status_code == 401


def key_is_needed(server):
    raises(openai.AuthenticationError, lambda: create_with(server, "echo_str", key="nope"))


def errors_say_why(server):
    error = raises(openai.NotFoundError, lambda: create_with(server, "nope"))
    assert "nope" in error.message, error.message
    assert isinstance(error.body, dict) and error.body.get("message"), error.body


def failures_have_a_status(server):
    error = raises(openai.InternalServerError, lambda: create_with(server, "raises"))
    assert error.status_code == 500 and isinstance(error.body, dict), error.body


def failing_streams_end_with_an_error(server):
    got = []

    def read():
        with client(server).chat.completions.create(model="gen_raises", messages=USER, stream=True) as chunks:
            for chunk in chunks:
                got.append(chunk)

    error = raises(openai.APIError, read)
    assert not isinstance(error, openai.APIConnectionError), error
    assert texts(got), "what came before the error arrives"


def first_chunk_has_a_role(server):
    assert stream_with(server, "gen_words")[0].choices[0].delta.role == "assistant"


def tool_histories_pass(server):
    answer = create_with(server, "echo_str", TOOL_HISTORY)
    assert answer.choices[0].message.content == "echo[echo_str]: x", answer


def key_is_not_needed_for_chats(server):
    assert create_with(server, "echo_str", key="nope").choices


def tool_histories_are_refused(server):
    raises(openai.UnprocessableEntityError, lambda: create_with(server, "echo_str", TOOL_HISTORY))


def failing_streams_are_cut(server):
    raises(openai.APIConnectionError, lambda: stream_with(server, "gen_raises"))


def failures_are_plain_500s(server):
    error = raises(openai.InternalServerError, lambda: create_with(server, "raises"))
    assert error.response.text == "Internal Server Error"


DEFAULT = [key_is_needed, errors_say_why, failures_have_a_status, failing_streams_end_with_an_error, first_chunk_has_a_role, tool_histories_pass]
STRICT = [key_is_not_needed_for_chats, tool_histories_are_refused, failing_streams_are_cut, failures_are_plain_500s]
