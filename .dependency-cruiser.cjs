/** Imports point one way: features -> client -> runner and cli -> runner; runner -> catalog -> evaluation -> engine. See docs/architecture.md. */
const never = (name, from, to, comment) => ({
  name,
  severity: 'error',
  comment,
  from: { path: from },
  to: { path: to },
});

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-orphans', severity: 'error', from: { orphan: true, pathNot: '\\.d\\.ts$' }, to: {} },
    never(
      'engine-is-the-bottom',
      '^src/engine',
      '^src/(?!engine|errors)',
      'engine knows nothing of Python, RA3 or VS Code',
    ),
    never(
      'evaluation-on-engine',
      '^src/evaluation',
      '^src/(?!evaluation|engine|errors)',
      'evaluation knows nothing of runs or VS Code',
    ),
    never(
      'midtraining-on-evaluation',
      '^src/midtraining',
      '^src/(?!midtraining|evaluation|engine|errors)',
      'mid-training knows nothing of runs or VS Code',
    ),
    never(
      'catalog-knows-files',
      '^src/catalog',
      '^src/(?!catalog|engine|evaluation|errors)',
      'catalog finds and fetches models and data sets',
    ),
    never(
      'runner-knows-no-ui',
      '^src/runner',
      '^src/(?!runner|catalog|evaluation|midtraining|engine|errors)',
      'jobs run without a user interface',
    ),
    never(
      'client-knows-no-ui',
      '^src/client',
      '^src/(?!client|runner|catalog|evaluation|engine|errors)',
      'the client follows runs without a user interface',
    ),
    never(
      'webviews-know-their-messages',
      '^src/webviews',
      '^src/(?!webviews)',
      'a panel draws from what it is sent, and owns nothing',
    ),
    never(
      'features-know-messages-only',
      '^src/(features|extension)',
      '^src/webviews/(?!(results|run|abstractions|configForm)/(messages|traceback)\\.ts|duration\\.ts)',
      'the extension and its panels share data, no code of a browser',
    ),
    never(
      'vscode-in-features-only',
      '^src/(engine|evaluation|catalog|midtraining|runner|cli|client|webviews)',
      '^vscode$',
      'only the extension imports vscode',
    ),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json'] },
  },
};
