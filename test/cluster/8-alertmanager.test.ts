import { local } from '../../config/local';
import { manifestsOf, settingsOf } from '../support';
import { kubectl, until } from './support';

const namespace = 'orfeas-alertmanager';
const alertmanager = { source: 'bundled', receiverSecret: 'receiver' } as const;
const settings = settingsOf('local', { namespace, monitoring: { ...local.monitoring, stack: { mode: 'bundled', alertmanager } } });

const amtool = (...args: readonly string[]) =>
  kubectl(['-n', namespace, 'exec', 'alertmanager-0', '-c', 'alertmanager', '--', 'amtool', ...args]);
const api = '--alertmanager.url=http://127.0.0.1:9093';

beforeAll(async () => {
  await kubectl(['create', 'namespace', namespace]);
  const items = manifestsOf(settings).filter(({ kind, metadata }) => kind === 'NetworkPolicy' || metadata.name.startsWith('alertmanager'));
  await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items })));
  await kubectl(['-n', namespace, 'create', 'secret', 'generic', 'receiver', '--from-literal=url=http://127.0.0.1:1/']);
  await kubectl(['-n', namespace, 'rollout', 'status', 'statefulset/alertmanager', '--timeout=180s']);
});
afterAll(() => kubectl(['delete', 'namespace', namespace, '--ignore-not-found']));

test('amtool finds no fault in what Alertmanager runs with', async () => {
  expect((await amtool('check-config', '/etc/alertmanager/orfeas/alertmanager.yaml')).toString()).toContain('SUCCESS');
});

test('what another alert explains is left out, and what it does not is told', async () => {
  const add = (...labels: readonly string[]) => amtool(api, 'alert', 'add', ...labels, `namespace=${namespace}`);
  await add('alertname=OrfeasRedisDown', 'severity=critical');
  await add('alertname=OrfeasAvailabilityBurn', 'severity=critical', 'slo=availability');
  await add('alertname=OrfeasCertificateExpires', 'severity=warning');
  const names = async (...options: readonly string[]): Promise<string[]> => {
    const alerts: { labels: { alertname: string } }[] = JSON.parse(
      (await amtool(api, 'alert', 'query', '-o', 'json', ...options)).toString(),
    );
    return alerts.map(({ labels }) => labels.alertname).sort();
  };
  await until('the alerts', 30, async () => (await names('--inhibited')).includes('OrfeasAvailabilityBurn'));
  expect(await names('--inhibited')).toEqual(['OrfeasAvailabilityBurn']);
  expect(await names()).toEqual(['OrfeasCertificateExpires', 'OrfeasRedisDown']);
});
