"""Records what pydantic 2.7 makes of specs and values, for the tests of model::valves.

Run with Python 3.11 and `pip install pydantic==2.7.4`:  python record.py > pydantic.json
"""
import json
import warnings
from typing import Any, Dict, List, Literal, Optional, Set, Union

from pydantic import BaseModel, Field, ValidationError, create_model

warnings.simplefilter("ignore")

SOME = [None, True, False, 0, 1, -1, 2, 7, 1.0, 2.5, 1e20, "", "1", " 7 ", "-3", "+4", "1_000", "1__0", "_1", "1.0", "1.", "1.50", "2.5", "1e3", ".5",
        "abc", "yes", "Off", "TRUE", "t", "y", "no", "nope", "a", "b", "é", [], [1], ["x", "y"], ["1", 2], "x,y", {}, {"a": "b"}, {"a": 1}, [None], [["x"]], {"a": {"b": 1}}]

FIELDS = {
    "text": (str, "x"),
    "short": (str, Field("ab", min_length=1, max_length=2)),
    "integer": (int, 5006),
    "ranged": (int, Field(3, ge=1, le=5)),
    "open": (int, Field(3, gt=1, lt=7)),
    "fives": (int, Field(5, multiple_of=5)),
    "number": (float, 0.7),
    "numbers": (float, Field(0.5, ge=0, le=2, multiple_of=0.5)),
    "switch": (bool, True),
    "word": (Literal["a", "b"], "a"),
    "one": (Literal["x"], "x"),
    "numeral": (Literal[1, 2, 7], 1),
    "mixed": (Literal[1, "a", "it's"], 1),
    "texts": (List[str], ["a"]),
    "ints": (List[int], Field([1], min_length=1, max_length=1)),
    "any_list": (list, []),
    "chosen": (Set[str], []),
    "pairs": (Dict[str, str], {}),
    "counts": (Dict[str, int], {"b": 1, "a": 2}),
    "any_pairs": (dict, {}),
    "maybe_int": (Optional[int], None),
    "maybe_ranged": (Optional[int], Field(3, ge=1, le=5)),
    "maybe_text": (Optional[str], None),
    "maybe_word": (Optional[Literal["a", "b"]], None),
    "maybe_texts": (Optional[List[str]], None),
    "either": (Union[int, str], 1),
    "either_list": (Union[List[str], str], "a"),
    "either_bool": (Union[bool, int], 1),
    "either_float": (Union[int, float], 1),
    "three": (Union[float, int, bool, None], None),
    "no_match": (Union[int, bool], 1),
    "anything": (Any, None),
    "titled": (str, Field("x", title="My Title", description="What it is", examples=["y"])),
    "API_KEY2_url": (str, ""),
    "needed": (str, ...),
    "needed_maybe": (Optional[int], ...),
}


def outcome(model, given):
    try:
        # Not model_dump: in a union its serializer may turn what was validated into another member.
        return {"values": {k: sorted(v) if isinstance(v, set) else v for k, v in model(**given)}}
    except ValidationError as e:
        return {"errors": [{"loc": [str(p) for p in x["loc"]], "kind": x["type"], "message": x["msg"]} for x in e.errors()]}


def main():
    out = []
    for name, (kind, default) in FIELDS.items():
        model = create_model("Valves", **{name: (kind, default)})
        cases = [{"given": {name: value}} for value in SOME] + [{"given": {}}, {"given": {name + "_": 1}}]
        for case in cases:
            case.update(outcome(model, case["given"]))
        out.append({"spec": model.model_json_schema(), "cases": cases})
    print("[\n" + ",\n".join(json.dumps(x, ensure_ascii=False) for x in out) + "\n]")


main()
