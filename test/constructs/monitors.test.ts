import { load } from 'js-yaml';
import { find, manifestsOf, settingsOf } from '../support';

const bundled = manifestsOf(settingsOf('production'));
const operator = manifestsOf(settingsOf('production', { monitoring: { stack: { mode: 'operator' } } }));
const ofKind = (kind: string) => operator.filter(manifest => manifest.kind === kind);

interface Group {
  readonly name: string;
  readonly rules: readonly object[];
}

test('both modes have the same rules', () => {
  const files: Record<string, string> = find(bundled, 'ConfigMap', 'prometheus-files').data;
  const groups = Object.values(files).flatMap(text => (load(text) as { groups?: Group[] }).groups ?? []);
  const sorted = (all: readonly Group[]) => [...all].sort((a, b) => a.name.localeCompare(b.name));
  expect(groups).not.toEqual([]);
  expect(sorted(find(operator, 'PrometheusRule', 'orfeas').spec.groups)).toEqual(sorted(groups));
});
test('both modes have the same dashboards', () => {
  const dashboards = (manifests: typeof bundled) =>
    manifests.filter(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith('dashboard-')).map(({ data }) => data);
  expect(dashboards(operator)).toHaveLength(7);
  expect(dashboards(operator)).toEqual(dashboards(bundled));
});
test('a monitor a workload, found by the labels that kube-prometheus-stack looks for', () => {
  expect(
    ofKind('PodMonitor')
      .map(({ metadata }) => metadata.name)
      .sort(),
  ).toEqual(['backend', 'redis', 'web']);
  for (const { metadata } of [...ofKind('PodMonitor'), ...ofKind('PrometheusRule')])
    expect(metadata.labels).toMatchObject({ release: 'kube-prometheus-stack' });
  for (const { metadata } of ofKind('ConfigMap').filter(({ metadata }) => metadata.name.startsWith('dashboard-')))
    expect(metadata.labels).toMatchObject({ grafana_dashboard: '1' });
});
test('each monitor asks named ports of the pods that it selects', () => {
  for (const { metadata, spec } of ofKind('PodMonitor')) {
    const workload = find(operator, metadata.name === 'redis' ? 'StatefulSet' : 'Deployment', metadata.name);
    expect(spec.selector.matchLabels).toEqual(workload.spec.selector.matchLabels);
    const ports = workload.spec.template.spec.containers.flatMap(({ ports }: { ports: { name: string }[] }) =>
      ports.map(({ name }) => name),
    );
    for (const { port } of spec.podMetricsEndpoints) expect(ports).toContain(port);
  }
});
test("the operator's Prometheus may reach the pods, and the studio has none of its own", () => {
  expect(find(operator, 'NetworkPolicy', 'redis-from-monitoring').spec.ingress[0].from).toEqual([
    { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } },
  ]);
  expect(operator.filter(({ metadata }) => /^(prometheus|grafana)/.test(metadata.name))).toEqual([]);
});
