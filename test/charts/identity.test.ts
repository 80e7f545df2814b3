import { buildApp } from '../../app';
import { settingsOf } from '../support';

/** What users, Argo CD and the API server hold on to: a changed line renames a claim or changes an immutable selector. */
const identityOf = ({
  kind,
  metadata,
  spec,
}: {
  kind: string;
  metadata: { name: string };
  spec?: { selector?: { matchLabels?: object } };
}) => {
  const selector = spec?.selector && (spec.selector.matchLabels ?? spec.selector);
  return [`${kind}/${metadata.name}`, ...Object.entries(selector ?? {}).map(([key, value]) => `${key}=${value}`)].join(' ');
};

const { charts } = buildApp(settingsOf('production'));

test.each(charts.map(chart => [chart.node.id, chart] as const).sort())('the names and selectors of %s hold', (_, chart) => {
  expect(chart.toJson().map(identityOf)).toMatchSnapshot();
});
