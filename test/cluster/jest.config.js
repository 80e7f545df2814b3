module.exports = {
  ...require('../../jest.config'),
  rootDir: '../..',
  roots: ['<rootDir>/test/cluster'],
  testPathIgnorePatterns: ['/node_modules/'],
  // One cluster, one test at a time, in the order of the files' numbers.
  maxWorkers: 1,
  testSequencer: '<rootDir>/test/cluster/sequencer.js',
  testTimeout: 15 * 60_000,
};
