// A pipe: answers chats. People see it as the model `{{name}}`.
//
// The exported objects are the plugin's roles. `weir build` makes a component of this file, what it imports, and the engine. JSON crosses as
// text; to say no, throw a failure: { tag, val }. Anything else that is thrown is a trap.

{{imports}}

{{head}}

export const pipe = {
  {{async}}run(request, reply) {
    {{use}}
    reply.write({ tag: 'text', val: answer(JSON.parse(request.userMessage)) });
  },
};

// What it says to these words; they are no text where somebody sent only pictures.
function answer(words) {
  return typeof words === 'string' && words.trim() ? `You said: ${words}` : 'Say something.';
}
