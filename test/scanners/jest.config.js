module.exports = {
  ...require('../../jest.config'),
  rootDir: '../..',
  roots: ['<rootDir>/test/scanners'],
  testPathIgnorePatterns: ['/node_modules/'],
  testTimeout: 5 * 60_000,
};
