import { manifestsOf, settingsOf } from '../support';

const namesOf = (...args: Parameters<typeof settingsOf>) =>
  manifestsOf(settingsOf(...args))
    .filter(({ kind }) => kind === 'NetworkPolicy')
    .map(({ metadata }) => metadata.name)
    .sort();

const flows = [
  'backend-from-prometheus',
  'backend-from-web',
  'backend-to-dns',
  'backend-to-redis',
  'backup-to-api-server',
  'backup-to-dns',
  'backup-to-prometheus',
  'backup-to-redis',
  'backup-verify-to-dns',
  'backup-verify-to-redis',
  'default-deny',
  'grafana-from-prometheus',
  'grafana-to-dns',
  'grafana-to-prometheus',
  'prometheus-from-backup',
  'prometheus-from-grafana',
  'prometheus-to-api-server',
  'prometheus-to-backend',
  'prometheus-to-dns',
  'prometheus-to-grafana',
  'prometheus-to-redis',
  'prometheus-to-web',
  'redis-from-backend',
  'redis-from-backup',
  'redis-from-backup-verify',
  'redis-from-prometheus',
  'web-from-edge',
  'web-from-prometheus',
  'web-to-backend',
  'web-to-dns',
];

test('local: one policy for each end of each flow, and nothing else', () => {
  expect(namesOf('local')).toEqual(flows);
});
test('production also lets the backend fetch the model, and the edge reach the challenge', () => {
  expect(namesOf('production')).toEqual([...flows, 'acme-solver-from-edge', 'backend-to-internet'].sort());
});
test('offline, nothing reaches the internet', () => {
  expect(namesOf('production', { model: { offline: true } })).not.toContain('backend-to-internet');
});
