"""A source: reads records from somewhere. This one counts from `from` to `to`, which a pipeline says in the stage's settings.

The plugin's life cycle is here, its reader in `source.py`, what it does in `logic.py`, which needs no host and is tested by `test_logic.py`.
`weir build` makes the bindings, and a component of all. JSON crosses as text.
"""

import json
{{modules}}

{{err}}
from wit_world import exports
{{imports_alone}}

{{head}}
