"""A sink: writes records somewhere. This one keeps each batch in the plugin's own durable state, once: a batch that comes again has the same key.

The plugin's life cycle is here, its writer in `sink.py`, what it does in `logic.py`, which needs no host and is tested by `test_logic.py`.
`weir build` makes the bindings, and a component of all. JSON crosses as text.
"""

import json
{{modules}}

{{err}}
from wit_world import exports
{{imports_alone}}

{{head}}
