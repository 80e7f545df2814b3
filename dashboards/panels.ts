import {
  BigValueGraphMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  ReduceDataOptionsBuilder,
  SortOrder,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import { DashboardLinkBuilder, type Threshold, ThresholdsConfigBuilder, ThresholdsMode } from '@grafana/grafana-foundation-sdk/dashboard';
import { PanelBuilder as GaugeBuilder } from '@grafana/grafana-foundation-sdk/gauge';
import {
  PanelBuilder as HeatmapBuilder,
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeSeriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import type { Settings } from '../config/schema';

/** The uid of the studio's own data source, and of kube-prometheus-stack's. */
export const dataSource = { type: 'prometheus', uid: 'prometheus' } as const;

/** What every selector has: a Prometheus may see several studios. */
export const studio = 'namespace="$namespace"';
/** What a selector has where the dashboard can choose among pods. */
export const pods = `${studio},pod=~"$pod"`;

/** Shown instead of a curve where the studio computes on the CPU. */
export const NO_GPU = 'no GPU';

type Limit = readonly Threshold[];
const GREEN: Threshold = { color: 'green', value: null };

/** Nothing to compare with: what is usual depends on how much the studio is used. */
export const unlimited: Limit = [GREEN];
/** Good below both. */
export const below = (warning: number, critical: number): Limit => [
  GREEN,
  { color: 'yellow', value: warning },
  { color: 'red', value: critical },
];
/** Good from the second on. */
export const above = (critical: number, warning: number): Limit => [
  { color: 'red', value: null },
  { color: 'yellow', value: critical },
  { color: 'green', value: warning },
];
/** Good at 0 alone. */
export const never: Limit = [GREEN, { color: 'red', value: 1 }];
/** Good at 1, as of something that is up. */
export const always: Limit = [
  { color: 'red', value: null },
  { color: 'green', value: 1 },
];

const thresholds = (limit: Limit) => new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps([...limit]);

/** A query over the time range of the dashboard. */
export const query = (expr: string, legend: string) => new DataqueryBuilder().expr(expr).legendFormat(legend).range();
/** A query for the end of the time range. */
export const now = (expr: string, legend = '') => new DataqueryBuilder().expr(expr).legendFormat(legend).instant();
/** A query for the buckets of a histogram. */
export const buckets = (expr: string) => query(expr, '{{le}}').format(PromQueryFormat.Heatmap);
/** A query whose labels become columns. */
export const rows = (expr: string) => now(expr).format(PromQueryFormat.Table);

/** Curves, with the limit as dashed lines. Half of the width. */
export const timeSeries = (title: string, description: string, unit: string, limit: Limit) =>
  new TimeSeriesBuilder()
    .title(title)
    .description(description)
    .datasource(dataSource)
    .unit(unit)
    .thresholds(thresholds(limit))
    .thresholdsStyle(
      new GraphThresholdsStyleConfigBuilder().mode(limit === unlimited ? GraphThresholdsStyleMode.Off : GraphThresholdsStyleMode.Dashed),
    )
    .axisSoftMin(0)
    .fillOpacity(8)
    .showPoints(VisibilityMode.Never)
    .legend(new VizLegendOptionsBuilder().displayMode(LegendDisplayMode.Table).showLegend(true).calcs(['lastNotNull', 'max']))
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .span(12)
    .height(8);

/** Numbers. A sixth of the width. */
export const stat = (title: string, description: string, unit: string, limit: Limit) =>
  new StatBuilder()
    .title(title)
    .description(description)
    .datasource(dataSource)
    .unit(unit)
    .thresholds(thresholds(limit))
    .graphMode(BigValueGraphMode.None)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .span(4)
    .height(4);

/** A share from 0 to 1 for each series. Half of the width. */
export const gauge = (title: string, description: string, unit: string, limit: Limit) =>
  new GaugeBuilder()
    .title(title)
    .description(description)
    .datasource(dataSource)
    .unit(unit)
    .min(0)
    .max(1)
    .thresholds(thresholds(limit))
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .span(12)
    .height(8);

/** How a histogram's values are spread over time; the more often, the darker. Half of the width. */
export const heatmap = (title: string, description: string, unit: string) =>
  new HeatmapBuilder()
    .title(title)
    .description(description)
    .datasource(dataSource)
    .calculate(false)
    .color(new HeatmapColorOptionsBuilder().mode(HeatmapColorMode.Scheme).scheme('Oranges').steps(64))
    .yAxis(new YAxisConfigBuilder().unit(unit))
    .span(12)
    .height(8);

/** Rows of text. The whole width. */
export const table = (title: string, description: string, unit: string, limit: Limit) =>
  new TableBuilder()
    .title(title)
    .description(description)
    .datasource(dataSource)
    .unit(unit)
    .thresholds(thresholds(limit))
    .span(24)
    .height(7);

export const runbookUrl = ({ monitoring }: Settings, alert: string): string => `${monitoring.runbooks}/${alert}.md`;

/** Links of a panel to what to do when it shows a fault. */
export const runbooks = (settings: Settings, ...alerts: readonly string[]) =>
  alerts.map(alert => new DashboardLinkBuilder(`Runbook: ${alert}`).url(runbookUrl(settings, alert)).targetBlank(true));
