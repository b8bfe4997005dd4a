// A provider: offers a capability that other plugins look up by name and use through peer calls. This one provides `word-count`, with
// the method `count`.
//
// The exported objects are the plugin's roles. `weir build` makes a component of this file, what it imports, and the engine. JSON crosses as
// text; to say no, throw a failure: { tag, val }. Anything else that is thrown is a trap.

{{imports}}

{{head}}

export const peer = {
  {{async}}handle(request) {
    {{use}}
    // request.caller is who asks: act with its rights in mind, not your own.
    if (request.method !== 'count') {
      throw { tag: 'invalid', val: `no method is called '${request.method}'; there is count` };
    }
    return JSON.stringify(count(JSON.parse(request.payload)));
  },
};

// How many words are in {"text": ..}.
function count(payload) {
  if (typeof payload?.text !== 'string') {
    throw { tag: 'invalid', val: 'count: give {"text": ..}' };
  }
  return { words: payload.text.split(/\s+/).filter((word) => word).length };
}
