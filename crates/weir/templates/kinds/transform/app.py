"""A transform: turns records into records. This one trims the text in a field, which a pipeline names in the stage's settings, and rejects
records without it.

The plugin's life cycle is here, its transformer in `transform.py`, what it does in `logic.py`, which needs no host and is tested by
`test_logic.py`. `weir build` makes the bindings, and a component of all. JSON crosses as text.
"""

import json
{{modules}}

{{err}}
from wit_world import exports
{{imports_alone}}

{{head}}
