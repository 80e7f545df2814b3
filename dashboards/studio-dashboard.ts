import {
  AnnotationQueryBuilder,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  QueryVariableBuilder,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { dataSource, studio } from './panels';

/** Names, as in uids and files, and titles of all dashboards. */
export const titles = {
  overview: 'Overview',
  backend: 'Backend',
  gpu: 'GPU',
  redis: 'Redis',
  web: 'Web and edge',
  capacity: 'Capacity and cost',
  backup: 'Backup',
} as const;
export type DashboardName = keyof typeof titles;

const uid = (name: DashboardName) => `orfeas-${name}`;

const variable = (name: string, label: string, query: string) =>
  new QueryVariableBuilder(name)
    .label(label)
    .datasource(dataSource)
    .query({ query, refId: name })
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc);

/**
 * What all dashboards have in common.
 *
 * @param podsOf a series of the pods among which the dashboard can choose; without it there is no such choice
 */
export function studioDashboard(name: DashboardName, description: string, podsOf?: string): DashboardBuilder {
  const builder = new DashboardBuilder(`ORFEAS / ${titles[name]}`)
    .uid(uid(name))
    .description(description)
    .tags(['orfeas'])
    .readonly()
    .time({ from: 'now-6h', to: 'now' })
    .refresh('30s')
    .tooltip(DashboardCursorSync.Crosshair)
    .links(
      (Object.keys(titles) as DashboardName[])
        .filter(other => other !== name)
        // The studio is carried over, but not the pods: those of another dashboard are others.
        .map(other => new DashboardLinkBuilder(titles[other]).url(`/d/${uid(other)}?\${namespace:queryparam}`).keepTime(true)),
    )
    .withVariable(variable('namespace', 'Studio', 'label_values(orfeas_build_info, namespace)'))
    .annotation(
      new AnnotationQueryBuilder()
        .name('Versions')
        .datasource(dataSource)
        .enable(true)
        .iconColor('blue')
        .expr(
          `count by (version) (orfeas_build_info{${studio}}) unless on (version) count by (version) (orfeas_build_info{${studio}} offset 2m)`,
        )
        .step('60s')
        .titleFormat('Version {{version}} started'),
    )
    .annotation(
      new AnnotationQueryBuilder()
        .name('Critical alerts')
        .datasource(dataSource)
        .enable(true)
        .iconColor('red')
        .expr(`ALERTS{${studio},alertname=~"Orfeas.+",alertstate="firing",severity="critical"}`)
        .step('60s')
        .titleFormat('{{alertname}}'),
    );
  return podsOf === undefined
    ? builder
    : builder.withVariable(variable('pod', 'Pod', `label_values(${podsOf}, pod)`).multi(true).includeAll(true).allValue('.+'));
}
