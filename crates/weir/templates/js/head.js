export const lifecycle = {
  describe: () =>
    JSON.stringify({
      id: '{{name}}',
      version: '0.1.0',
      name: '{{Title}}',
      description: '{{description}}',
      {{manifest}}
    }),
  // Prepares an instance; config is {"config": {..}, "valves": {..}}.
  init(config) {},
  // The plugin is live now.
  {{start}}
  // The version is let go.
  stop() {},
};
