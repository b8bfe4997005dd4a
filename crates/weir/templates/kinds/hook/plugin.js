// A hook: code that runs where the host, or another plugin, says it is about to do something. This one runs before each chat that a
// plugin answers: it puts a rule in front of the conversation and refuses a chat in which nobody has said anything.
//
// The exported objects are the plugin's roles. `weir build` makes a component of this file, what it imports, and the engine. JSON crosses as
// text; to say no, throw a failure: { tag, val }. Anything else that is thrown is a trap.

{{imports}}

const RULE = 'Answer in one sentence.';

{{head}}

// Called at the points and in the modes that the manifest names: here `before` at `chat_request`.
export const hooks = {
  {{async}}before(point, text) {
    {{use}}
    const context = JSON.parse(text);
    const messages = context.body.messages;
    if (!messages?.length) {
      throw { tag: 'refused', val: 'nobody has said anything' };
    }
    messages.unshift({ role: 'system', content: RULE });
    return JSON.stringify(context);
  },
  after: (point, text) => JSON.stringify(JSON.parse(text).result),
  around: (point, text, next) => next.run(text),
  replace(point) {
    throw { tag: 'internal', val: `this plugin does not replace '${point}'` };
  },
};
