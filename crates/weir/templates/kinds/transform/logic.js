// What the plugin does, without the host.

// The field that the settings name.
export function field(config) {
  if (typeof config?.field !== 'string') {
    throw new Error(`'field' must be a text, and is ${JSON.stringify(config?.field)}`);
  }
  return config.field;
}

// The records with that field's text trimmed, and the places of those without it, with the reason.
export function trim(records, field) {
  const kept = [];
  const rejects = [];
  records.forEach((record, index) => {
    if (typeof record?.[field] === 'string') {
      kept.push({ ...record, [field]: record[field].trim() });
    } else {
      rejects.push({ index, reason: `no text in '${field}'` });
    }
  });
  return { kept, rejects };
}
