// Makes a component of a plugin in JavaScript: node build.mjs SOURCE WORLD OUTPUT [WIT]
//
// WIT is the folder with the world and what it builds on; the contract's own if it is not given. The world must hold only what the plugin
// uses: all its imports end up in the component, and each may need a grant. So are the engine's own features `http` and `fetch-event` left out.

import { componentize } from '@bytecodealliance/componentize-js';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const [source, worldName, output, wit] = process.argv.slice(2);
if (!output) {
  console.error('usage: node build.mjs SOURCE WORLD OUTPUT [WIT]');
  process.exit(64);
}
const { component } = await componentize(await readFile(source, 'utf8'), {
  witPath: wit ?? fileURLToPath(new URL('../../wit/v0.1', import.meta.url)),
  worldName,
  disableFeatures: ['http', 'fetch-event'],
});
await writeFile(output, component);
