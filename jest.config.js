module.exports = {
  roots: ['<rootDir>/test'],
  // On a busy machine a synthesis takes seconds.
  testTimeout: 60_000,
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/(cluster|scanners)/'],
  transform: { '\\.[jt]s$': ['@swc/jest', { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } }] },
  // These packages are ES modules only; Jest loads CommonJS.
  transformIgnorePatterns: ['/node_modules/(?!(@kubernetes/client-node|listr2|openid-client|oauth4webapi|jose)/)'],
};
