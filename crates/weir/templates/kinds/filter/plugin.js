// A filter: hides the words that its valves list in what people send to a model, and in the answers.
//
// The exported objects are the plugin's roles. `weir build` makes a component of this file, what it imports, and the engine. JSON crosses as
// text; to say no, throw a failure: { tag, val }. Anything else that is thrown is a trap.

import { get } from 'weir:host/valves@0.1.0';
{{imports}}

{{head}}

// What people can set while it runs.
export const valves = {
  spec() {
    const words = { type: 'array', items: { type: 'string' } };
    return JSON.stringify({
      type: 'object',
      properties: {
        pipelines: { ...words, default: ['*'], description: 'Models whose chats are filtered; * for all' },
        priority: { type: 'integer', default: 0, description: 'Filters run lowest first' },
        words: { ...words, default: [], description: 'Words to hide' },
      },
    });
  },
  // They have changed. Whoever needs them asks get().
  updated(text) {},
};

export const filter = {
  {{async}}inlet(message) {
    {{use}}
    return hideAll(message.body);
  },
  outlet: (message) => hideAll(message.body),
};

// The body with stars in every text of every message.
function hideAll(text) {
  const words = JSON.parse(get()).words.filter((word) => word);
  const hide = (text) => words.reduce((text, word) => text.replaceAll(word, '***'), text);
  const body = JSON.parse(text);
  for (const message of body.messages ?? []) {
    if (typeof message.content === 'string') {
      message.content = hide(message.content);
    } else if (Array.isArray(message.content)) {
      for (const part of message.content) {
        if (typeof part.text === 'string') part.text = hide(part.text);
      }
    }
  }
  return JSON.stringify(body);
}
