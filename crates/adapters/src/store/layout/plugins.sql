-- `plugin_state_totals`: number of keys, their bytes, and the last version given out.
CREATE TABLE plugin_state (
    plugin {text} NOT NULL,
    name {text} NOT NULL,
    version {int} NOT NULL,
    value {bytes} NOT NULL,
    PRIMARY KEY (plugin, name)
{end}
CREATE TABLE plugin_state_totals (
    plugin {text} NOT NULL PRIMARY KEY,
    keys {int} NOT NULL,
    bytes {int} NOT NULL,
    version {int} NOT NULL
{end}
CREATE TABLE plugin_valves (
    plugin {text} NOT NULL PRIMARY KEY,
    json {text} NOT NULL
{end}
