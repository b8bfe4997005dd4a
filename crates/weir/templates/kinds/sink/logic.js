// What the plugin does, without the host.

// The records to keep, and the places of those to give up on, with the reason: all that are no objects.
export function sort(records) {
  const kept = [];
  const rejects = [];
  records.forEach((record, index) => {
    if (record !== null && typeof record === 'object' && !Array.isArray(record)) {
      kept.push(record);
    } else {
      rejects.push({ index, reason: 'the record is no object' });
    }
  });
  return { kept, rejects };
}
