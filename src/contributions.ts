/**
 * Every id that the manifest and the code share, in one place. A test holds package.json to it.
 */
export const commands = {
  evaluate: 'midtrain.evaluate',
  evaluateHumanEval: 'midtrain.evaluateHumanEval',
  evaluateMbpp: 'midtrain.evaluateMbpp',
  train: 'midtrain.train',
  newConfig: 'midtrain.newConfig',
  trainByConfig: 'midtrain.trainByConfig',
  estimate: 'midtrain.estimate',
  previewData: 'midtrain.previewData',
  runAgain: 'midtrain.runAgain',
  resume: 'midtrain.resume',
  pause: 'midtrain.pause',
  stop: 'midtrain.stop',
  openResults: 'midtrain.openResults',
  openRun: 'midtrain.openRun',
  pauseAndRelease: 'midtrain.pauseAndRelease',
  stopAndSave: 'midtrain.stopAndSave',
  saveCheckpoint: 'midtrain.saveCheckpoint',
  sampleNow: 'midtrain.sampleNow',
  setLearningRate: 'midtrain.setLearningRate',
  setEvaluationInterval: 'midtrain.setEvaluationInterval',
  setThinkPenalty: 'midtrain.setThinkPenalty',
  setTemperature: 'midtrain.setTemperature',
  setGroupSize: 'midtrain.setGroupSize',
  setUpdates: 'midtrain.setUpdates',
  setSteps: 'midtrain.setSteps',
  exportMetrics: 'midtrain.exportMetrics',
  openRunFolder: 'midtrain.openRunFolder',
  exportModel: 'midtrain.exportModel',
  openAbstractions: 'midtrain.openAbstractions',
  showAbstractions: 'midtrain.showAbstractions',
  hideAbstractions: 'midtrain.hideAbstractions',
  explainSurprise: 'midtrain.explainSurprise',
  insertLatents: 'midtrain.insertLatents',
  stripLatents: 'midtrain.stripLatents',
  chooseReader: 'midtrain.chooseReader',
  removeRun: 'midtrain.removeRun',
  addModel: 'midtrain.addModel',
  getModel: 'midtrain.getModel',
  removeModel: 'midtrain.removeModel',
  getBenchmark: 'midtrain.getBenchmark',
  removeBenchmark: 'midtrain.removeBenchmark',
  checkEnvironment: 'midtrain.checkEnvironment',
  refresh: 'midtrain.refresh',
} as const;
export type CommandId = (typeof commands)[keyof typeof commands];

export const viewContainer = 'midtrain';

export const views = {
  runs: 'midtrain.runs',
  models: 'midtrain.models',
  benchmarks: 'midtrain.benchmarks',
} as const;

export const panels = {
  results: 'midtrain.results',
  run: 'midtrain.run',
  abstractions: 'midtrain.abstractions',
} as const;

/** Other ways to look at a file. */
export const editors = { configForm: 'midtrain.configForm' } as const;

/** Under `midtrain.` in the settings. */
export const settings = {
  models: 'models',
  device: 'device',
  strict: 'strict',
  workers: 'workers',
  threads: 'threads',
  python: 'python',
  cacheFolder: 'cacheFolder',
  runsFolder: 'runsFolder',
  statusBar: 'statusBar',
  notices: 'notices',
} as const;

export const contextKeys = {
  /** Set once the store has been read: before that an empty tree says nothing. */
  loaded: 'midtrain.loaded',
  /** The active editor shows abstractions. */
  abstractionsShown: 'midtrain.abstractionsShown',
  /** A training with an E-step is at work. */
  exploring: 'midtrain.exploring',
} as const;

/** `viewItem` of the trees' rows. A run's row has several, joined by spaces. */
export const items = {
  run: 'run',
  training: 'training',
  live: 'live',
  running: 'running',
  paused: 'paused',
  /** At work, with an E-step. */
  exploring: 'exploring',
  resumable: 'resumable',
  unreadable: 'unreadable',
  model: 'model',
  modelAbsent: 'modelAbsent',
  modelNamed: 'modelNamed',
  modelNamedAbsent: 'modelNamedAbsent',
  modelBuiltIn: 'modelBuiltIn',
  benchmark: 'benchmark',
  benchmarkAbsent: 'benchmarkAbsent',
} as const;

/** Of abstractions in the editor. */
export const colors = {
  evenSegmentBackground: 'midtrain.evenSegmentBackground',
  oddSegmentBackground: 'midtrain.oddSegmentBackground',
  segmentBorder: 'midtrain.segmentBorder',
  latentForeground: 'midtrain.latentForeground',
  latentBackground: 'midtrain.latentBackground',
  latentBorder: 'midtrain.latentBorder',
} as const;
